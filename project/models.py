"""What the project itself keeps: who guesses at whose password."""

from django.db import models


class LoginAttempts(models.Model):
    """Attempts to log in under one name since the last right password, whether or not there is such a user."""

    name_digest = models.CharField(max_length=64, primary_key=True)
    """Of the name as it was typed: people also type their password there."""
    count = models.PositiveIntegerField(default=0)
    blocked_until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} attempts for {self.name_digest[:8]}"
