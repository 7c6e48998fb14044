"""One settings module, driven by the environment: production is the default, development is switched on.

``docs/deploy.md`` lists the variables. While none of production's is set, the checkout is taken for a local one
(``LOCAL``): it keeps its own secret key, speaks plain HTTP and logs for a person.
"""

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from redis.backoff import NoBackoff
from redis.retry import Retry

from project import endpoints, environment, logs
from project.local.folders import BASE_DIR, VAR
from project.masking import url_secrets

env = environment.Env()

LOCAL = environment.is_local()
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or (
    environment.secret_key(VAR / "secret-key") if LOCAL else ""
)
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is missing: production signs its sessions with one of its own.")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", cast=str.strip, default=[])
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", cast=str.strip, default=["localhost", "127.0.0.1", "[::1]"] if LOCAL else []
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", cast=str.strip, default=[])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django.contrib.sitemaps",
    "csp",
    "treebeard",
    "simple_history",
    "django_structlog",
    "cachecontrol",
    "catalog",
    "project",
]

MIDDLEWARE = [
    "cachecontrol.middleware.CachedPageMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "project.uploads.FormLimitMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

if DEBUG:
    from debug_toolbar.settings import PANELS_DEFAULTS

    INSTALLED_APPS.append("debug_toolbar")
    MIDDLEWARE.insert(0, "debug_toolbar.middleware.DebugToolbarMiddleware")
    INTERNAL_IPS = ["127.0.0.1", "::1"]
    DEBUG_TOOLBAR_PANELS = ["cachecontrol.monitoring.toolbar.CachePanel", *PANELS_DEFAULTS]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Services

_urls = endpoints.find()
_pooler = env.bool("DATABASE_POOLER", default=False)
DATABASES = {"default": environment.database(_urls.database, behind_pooler=_pooler)}
# Behind a pooler, connections cannot send the startup option that this check asks for.
SILENCED_SYSTEM_CHECKS = ["cachecontrol.W006"] if _pooler else []
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": environment.redis(_urls.redis),
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": 0.2,
            "SOCKET_TIMEOUT": 0.2,
            # One try more, since a pooled connection may have died; the cache's breaker does the waiting.
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 1)},
        },
    },
}
CACHECONTROL = {
    # Pages name their static files, which development calls otherwise: it has entries of its own.
    "RELEASE": env.str("RELEASE", default="debug" if DEBUG else ""),
    "METRICS_TOKEN": env.str("METRICS_TOKEN", default=""),
}
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = environment.broker_of(
    env.str("BROKER_URL", default=""), redis_url=_urls.redis
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # wait for a Redis that is out of memory, as for a lost connection
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "beat-schedule")

# Security

_https = env.bool("HTTPS", default=not LOCAL)
SECURE_SSL_REDIRECT = _https
SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz)$"]  # health checks do not come through the proxy
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=365 * 86400 if _https else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_PROXY_SSL_HEADER = env.proxy_header("BEHIND_PROXY")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
AUTHENTICATION_BACKENDS = ["project.throttle.ThrottledBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

# How large the forms of staff may be; project.uploads holds everybody else to less. A product's form has twelve fields for
# each variant, and a file for each image.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000
DATA_UPLOAD_MAX_NUMBER_FILES = 1_000
DATA_UPLOAD_MAX_MEMORY_SIZE = 10_000_000

# Logs

LOGGING = logs.configure(
    json=not LOCAL,
    level=env.log_level("LOG_LEVEL", default="INFO"),
    secrets=[
        SECRET_KEY,
        *SECRET_KEY_FALLBACKS,
        CACHECONTROL["METRICS_TOKEN"],
        env.str("ADMIN_PASSWORD", default=""),
        *(secret for url in (_urls.database, _urls.redis, CELERY_BROKER_URL) for secret in url_secrets(url)),
    ],
)
DJANGO_STRUCTLOG_USER_ID_FIELD = None  # asking for the user would read the session on every page
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO  # Django warns of them already
DJANGO_STRUCTLOG_CELERY_ENABLED = True

# Languages, time and files

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.time_zone("TIME_ZONE", default="UTC")
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").exists() else []
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
MEDIA_ROOT = env.str("MEDIA_ROOT", default=str(VAR / "media"))
MEDIA_URL = "media/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
