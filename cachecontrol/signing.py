"""Signatures of what the cache keeps in Redis, with Django's signing: one secret, its fallbacks, one salt for each purpose."""

from __future__ import annotations

from django.core.signing import Signer
from django.utils.crypto import constant_time_compare

from cachecontrol.exceptions import DamagedData

SIGNATURE_BYTES = 43
"""Length of a signature: SHA-256 in URL-safe base64 without padding."""


def seal(purpose: str, key: str, data: bytes) -> bytes:
    """Put a signature before ``data`` that holds only for this purpose and this key of Redis."""
    return _signature(_signer(purpose, key), data) + data


def unseal(purpose: str, key: str, sealed: bytes) -> bytes:
    """Return the data behind its signature.

    Signatures by a secret in ``SECRET_KEY_FALLBACKS`` hold too. Raises DamagedData if the signature is not of this purpose
    and key.
    """
    signature, data = sealed[:SIGNATURE_BYTES], sealed[SIGNATURE_BYTES:]
    signer = _signer(purpose, key)
    for secret in (signer.key, *signer.fallback_keys):
        if constant_time_compare(signature, _signature(signer, data, secret)):
            return data
    raise DamagedData(f"the signature of the {purpose} does not hold for its key")


def _signer(purpose: str, key: str) -> Signer:
    return Signer(salt=f"cachecontrol.{purpose}:{key}")


def _signature(signer: Signer, data: bytes, secret: str | bytes | None = None) -> bytes:
    return signer.signature(data, secret).encode()
