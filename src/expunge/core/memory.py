"""Memory that the process has freed and the C library keeps."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc); elsewhere nothing happens.

    Workers tell glibc to keep what a training step frees, because the next step needs as much again. The next cell may
    need far less, and other workers more.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
