"""Hashes of passwords, by argon2id: 64 MiB and 0.1 to 0.2 s each (RFC 9106), so few at once, in threads."""

from functools import cache, partial
from typing import TYPE_CHECKING

import anyio
from anyio import CapacityLimiter

if TYPE_CHECKING:
    from pwdlib import PasswordHash

THREADS = 2  # 128 MiB at most


class Passwords:
    """Makes and checks hashes; whoever waits holds no thread."""

    def __init__(self) -> None:
        self._threads = CapacityLimiter(THREADS)

    async def hash(self, password: str) -> str:
        """Return the hash to store."""
        return await anyio.to_thread.run_sync(lambda: _hasher().hash(password), limiter=self._threads)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether this is the password; without a stored hash it takes the same time, and is not."""
        same = await anyio.to_thread.run_sync(partial(_verify, password, stored), limiter=self._threads)
        return same and stored is not None


def _verify(password: str, stored: str | None) -> bool:
    return _hasher().verify(password, stored or _nobodys())


@cache
def _hasher() -> "PasswordHash":
    from pwdlib import PasswordHash  # noqa: PLC0415  most processes never see a password
    from pwdlib.hashers.argon2 import Argon2Hasher  # noqa: PLC0415

    return PasswordHash((Argon2Hasher(time_cost=3, memory_cost=64 * 1024, parallelism=4),))


@cache
def _nobodys() -> str:
    return _hasher().hash("nobody's")
