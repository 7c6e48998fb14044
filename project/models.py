"""The project's own models."""

from django.db import models


class LoginAttempts(models.Model):
    """Attempts to log in with one user name since the last right password, also for a name that no user has."""

    name_digest = models.CharField(max_length=64, primary_key=True)
    """The name itself is not stored: some people type their password there by mistake."""
    count = models.PositiveIntegerField(default=0)
    blocked_until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} attempts for {self.name_digest[:8]}"
