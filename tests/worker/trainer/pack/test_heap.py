"""Freed memory is there for the next tensors while a pack trains, and is returned afterwards."""

import subprocess
import sys

SCRIPT = """
import ctypes, resource
from worker.trainer.pack.heap import freed_memory_kept

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
SIZE = 24 * 2**20

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        block = libc.malloc(SIZE)
        ctypes.memset(block, 1, SIZE)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with freed_memory_kept():
    kept = faults()
print(kept, faults())
"""


def test_only_inside_are_new_blocks_old_memory() -> None:
    made = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    kept, returned = map(int, made.stdout.split())
    assert kept < 1.5 * 24 * 2**20 / 4096
    assert returned > 5 * 24 * 2**20 / 4096
