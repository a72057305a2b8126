"""Keep glibc from returning big tensors to the kernel after every step, which halves a CPU's speed."""

from __future__ import annotations

import ctypes
import mmap
import sys

# glibc's malloc.h: M_ARENA_MAX is left alone, so that decoding threads do not wait for one another.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4

HEAP_BYTES = 2 << 30
"""Address space, not memory: what the heap begins with, in pages of 2 MiB. More than a step of the shipped
backbone takes; what is above works as before."""


def keep_memory() -> bool:
    """Serve big tensors from the heap and never trim it; tell whether this C library does that.

    With huge pages, where the kernel has them, features and steps take a tenth less of a processor
    (tests/benchmarks/bench_data_path.py, bench_training_step.py).
    """
    if (library := _glibc()) is None:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 256 << 20))
    done = all(library.mallopt(key, value) == 1 for key, value in settings)
    # What is freed stays the heap's, with the advice. Without room or huge pages it is as before.
    if block := library.malloc(HEAP_BYTES):
        start = -(-block // mmap.PAGESIZE) * mmap.PAGESIZE
        library.madvise(start, block + HEAP_BYTES - start, mmap.MADV_HUGEPAGE)
        library.free(block)
    return done


def return_memory() -> None:
    """Return to the kernel what is free, which glibc keeps for each thread."""
    if library := _glibc():
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    # musl has no mallopt to speak of
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.free.argtypes = [ctypes.c_void_p]
    return library
