"""The settings of the kiosk. The cache is in neither the default database nor the default alias."""

import os

from psycopg.conninfo import conninfo_to_dict

_server = conninfo_to_dict(os.environ["KIOSK_DATABASE"])

SECRET_KEY = "kiosk"
INSTALLED_APPS = ["django.contrib.postgres", "cachecontrol"]
MIDDLEWARE = ["cachecontrol.middleware.CachedPageMiddleware"]
ROOT_URLCONF = "kiosk.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
USE_TZ = True
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "shop": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _server["dbname"],
        "USER": _server.get("user", ""),
        "PASSWORD": _server.get("password", ""),
        "HOST": _server.get("host", ""),
        "PORT": _server.get("port", ""),
        "OPTIONS": {"options": "-c cachecontrol.tell=on", "connect_timeout": 10},
    },
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "pages": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": os.environ["KIOSK_REDIS"]},
}
CACHECONTROL = {"ALIAS": "pages", "DATABASE": "shop"}
