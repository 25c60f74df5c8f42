"""A trainer's own domain in Linux: it can read no other process's environment, memory or files.

Landlock (Linux 5.13) refuses a process what `ptrace` could see of any that is outside of its domain, also of the same
account: a container's init and health check hold the worker's environment too. Children stay in the domain.
"""

import ctypes
import errno
import logging
import os
import struct
import sys

log = logging.getLogger(__name__)
CREATE_RULESET, RESTRICT_SELF = 444, 446  # system calls, with one number on every architecture
PR_SET_NO_NEW_PRIVS = 38
MAKE_BLOCK_DEVICE = 1 << 11  # a domain must refuse something; a trainer never makes one


def confine() -> bool:
    """Enter a domain of its own; return whether this kernel has them."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    refused = ctypes.create_string_buffer(struct.pack("=Q", MAKE_BLOCK_DEVICE), 8)
    ruleset = libc.syscall(CREATE_RULESET, refused, ctypes.c_size_t(8), ctypes.c_uint32(0))
    if ruleset < 0:
        log.debug("no domain for the trainer: %s", errno.errorcode.get(ctypes.get_errno()))
        return False
    try:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)
