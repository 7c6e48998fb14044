"""Django's fields as bases of the fields of tests: types give them parameters, which Django does not take at runtime."""

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    CharField = models.CharField[Any, Any]
    ForeignKey = models.ForeignKey[Any, Any]
    IntegerField = models.IntegerField[Any, Any]
else:
    CharField, ForeignKey, IntegerField = models.CharField, models.ForeignKey, models.IntegerField
