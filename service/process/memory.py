"""How the C library keeps the memory of arrays.

By default it gives large arrays back to the system as soon as they go, and the next ones come as fresh pages, a fault
each 4 KiB: half of the time of an answer of some megabytes. Kept instead are at most KEEP bytes for each arena.
"""

import ctypes

TRIM, TOP_PAD, MMAP, ARENAS = -1, -2, -3, -8  # of mallopt, as glibc's malloc.h numbers them
KEEP = 32 * 2**20
APART = 8 * 2**20  # what is larger is mapped by itself, as ever


def keep_pages() -> None:
    """For this process; nothing where the C library is another one."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in ((TRIM, KEEP), (TOP_PAD, 2**20), (MMAP, APART), (ARENAS, 2)):
        mallopt(parameter, value)
