"""Seeds derived from names, so that no two uses of randomness ever share a stream by accident."""

from __future__ import annotations

import hashlib


def derive_seed(base: int, *names: str | int) -> int:
    """A seed in ``0 .. 2**63 - 1`` that depends on `base` and on every name, in order.

    The value is the first eight bytes of the SHA-256 of the parts, each length-prefixed, so that
    ``derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")``. It is the same on every machine
    and every Python version.
    """
    digest = hashlib.sha256()
    for part in (base, *names):
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(8, "little"))
        digest.update(text)
    return int.from_bytes(digest.digest()[:8], "little") >> 1
