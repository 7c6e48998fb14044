"""The errors of an import. Each docstring gives the cause and the remedy."""

from __future__ import annotations


class CatalogImportError(Exception):
    """An import cannot start or cannot continue. The message gives the reason."""


class UnreadableFileError(CatalogImportError):
    """The file as a whole cannot be read: it is empty or damaged, or it is neither JSON Lines nor CSV with a header.

    Save the file in a form that docs/import-format.md lists, and run the import again.
    """


class MappingError(CatalogImportError):
    """The mapping is missing, is not TOML, or contains a key or value without a meaning.

    Correct the part of the mapping that the message names (docs/import-format.md).
    """


class ImportBusyError(CatalogImportError):
    """Another import is running. Wait for it, or stop it."""


class ImportStoppedError(CatalogImportError):
    """The database cannot continue, and no row is the cause.

    Correct what the message names, such as a full disk, and run the import again: it finishes the rest.
    """


class InvalidValueError(ValueError):
    """A value does not fit its column. The message is the reason that the report of the row shows."""
