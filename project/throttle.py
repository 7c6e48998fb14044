"""Slows down guessing at passwords: after five wrong passwords for a user name, each further attempt has to wait.

Attempts are counted in PostgreSQL, which a log-in needs anyway, and before the password is checked, so that simultaneous
guesses are counted one by one. Redis is not needed. A wait lasts a minute at most, and an attempt during a wait does not
prolong it. But while somebody goes on guessing, the user has to compete with the guesses for the next attempt.
"""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import ngettext

from project.models import LoginAttempts

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest

logger = logging.getLogger("project.throttle")

FREE = 5
"""Attempts that need not wait."""
FIRST_WAIT, LONGEST_WAIT = 5, 60
"""Seconds."""
MEMORY = timedelta(minutes=15)
"""Attempts are deleted this long after their last wait has ended."""


class ThrottledBackend(ModelBackend):
    """Django's backend. It does not check the password while attempts for the user name have to wait."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        name = username or kwargs.get(get_user_model().USERNAME_FIELD) or ""
        if not attempt(name):
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is not None:
            LoginAttempts.objects.filter(name_digest=_digest(name)).delete()
        return user

    # ModelBackend's own does not call `authenticate`.
    aauthenticate = BaseBackend.aauthenticate  # type: ignore[assignment]


class LoginForm(AdminAuthenticationForm):
    """The admin's log-in form. It says when to try again."""

    def get_invalid_login_error(self) -> ValidationError:
        seconds = math.ceil(wait(self.cleaned_data["username"]).total_seconds())
        if seconds <= 0:
            return super().get_invalid_login_error()
        text = ngettext(
            "Too many wrong passwords. Try again in %(seconds)d second.",
            "Too many wrong passwords. Try again in %(seconds)d seconds.",
            seconds,
        )
        return ValidationError(text % {"seconds": seconds}, code="throttled")


def attempt(name: str) -> bool:
    """Count an attempt to log in with this user name. Return False if it has to wait."""
    now = timezone.now()
    LoginAttempts.objects.filter(blocked_until__lt=now - MEMORY).delete()
    with transaction.atomic():
        attempts, _ = LoginAttempts.objects.select_for_update().get_or_create(
            name_digest=_digest(name), defaults={"blocked_until": now}
        )
        if now < attempts.blocked_until:
            return False
        attempts.count += 1
        attempts.blocked_until = now + _wait_after(attempts.count)
        attempts.save()
    if attempts.count == FREE:
        _report(name)
    return True


def wait(name: str) -> timedelta:
    """Return how long the next attempt with this user name has to wait."""
    attempts = LoginAttempts.objects.filter(name_digest=_digest(name)).first()
    return max(attempts.blocked_until - timezone.now(), timedelta()) if attempts else timedelta()


def _wait_after(count: int) -> timedelta:
    if count < FREE:
        return timedelta()
    seconds: int = FIRST_WAIT << min(count - FREE, 10)
    return timedelta(seconds=min(seconds, LONGEST_WAIT))


def _report(name: str) -> None:
    """Log once that attempts have to wait. An unknown user name is not logged, since it may be a password."""
    is_known = get_user_model().objects.filter(**{get_user_model().USERNAME_FIELD: name}).exists()
    logger.warning(
        "Log-ins as %s are slowed down after %d attempts", name if is_known else "an unknown user", FREE
    )


def _digest(name: str) -> str:
    return salted_hmac("project.throttle", name.casefold(), algorithm="sha256").hexdigest()
