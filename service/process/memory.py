"""How malloc keeps the memory of freed arrays.

By default it returns large arrays to the system at once, and the next ones come as new pages, with a page fault for
every 4 KiB: half the time of a response of some megabytes. Here it keeps up to `KEPT_BYTES` per arena.
"""

import ctypes

TRIM, TOP_PAD, MMAP, ARENAS = -1, -2, -3, -8  # of mallopt, as glibc's malloc.h numbers them
KEPT_BYTES = 32 * 2**20
MAPPED_BYTES = 8 * 2**20  # larger blocks are still mapped and returned one by one


def keep_freed_memory() -> None:
    """Configure malloc for this process; do nothing if the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in ((TRIM, KEPT_BYTES), (TOP_PAD, 2**20), (MMAP, MAPPED_BYTES), (ARENAS, 2)):
        mallopt(parameter, value)
