"""Memory that malloc keeps while a pack trains, for the tensors of its next step.

By default malloc returns large blocks to the system, and the tensors of the next step come as new pages: a third of
the time of a packed step of convolutions.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM, MMAP = -1, -3  # of mallopt, as glibc's malloc.h numbers them
KEPT, LARGEST = 512 * 2**20, 32 * 2**20  # bytes kept in all, and of a block that is kept: the most that glibc allows
BEFORE = 128 * 2**10  # bytes: glibc's own value of both


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory inside, and return it at the end; do nothing if the C library is not glibc."""
    try:
        library = ctypes.CDLL(None)
        mallopt, trim = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    mallopt(TRIM, KEPT)
    mallopt(MMAP, LARGEST)
    try:
        yield
    finally:
        mallopt(TRIM, BEFORE)
        mallopt(MMAP, BEFORE)
        trim(0)
