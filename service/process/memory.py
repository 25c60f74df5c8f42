"""How the C library keeps the memory of arrays.

By default it gives large arrays back to the system as soon as they go, and the next ones come as fresh pages, a fault
each 4 KiB: half of the time of an answer of some megabytes. Kept instead are at most KEPT_BYTES bytes for each arena.
"""

import ctypes

TRIM, TOP_PAD, MMAP, ARENAS = -1, -2, -3, -8  # of mallopt, as glibc's malloc.h numbers them
KEPT_BYTES = 32 * 2**20
MAPPED_BYTES = 8 * 2**20  # what is larger is mapped by itself, as ever


def keep_freed_memory() -> None:
    """For this process; nothing where the C library is another one."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in ((TRIM, KEPT_BYTES), (TOP_PAD, 2**20), (MMAP, MAPPED_BYTES), (ARENAS, 2)):
        mallopt(parameter, value)
