"""Keep glibc from returning big tensors to the kernel after every step, which halves a CPU's speed."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h: M_ARENA_MAX is left alone, so that decoding threads do not wait for one another.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Serve big tensors from the heap and never trim it; tell whether this C library does that."""
    if (library := _glibc()) is None:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 << 20))
    return all(library.mallopt(key, value) == 1 for key, value in settings)


def return_memory() -> None:
    """Return to the kernel what is free, which glibc keeps for each thread."""
    if library := _glibc():
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    # musl has no mallopt to speak of
    return library if hasattr(library, "gnu_get_libc_version") else None
