"""Memory of a training step stays with the process, and comes in huge pages where the kernel has them."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SIZE = 256 << 20
COUNT_FAULTS = f"""
import ctypes, json, resource, sys
from training.allocator import keep_memory, return_memory
if sys.argv[1] == "keeps":
    assert keep_memory()
library = ctypes.CDLL(None)
library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = library.malloc({SIZE})
    ctypes.memset(block, 1, {SIZE})
    library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

counted = [faults(), faults()]
kept = resident()
return_memory()
print(json.dumps([*counted, (kept - resident()) * resource.getpagesize()]))
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc's malloc")


def count(how: str) -> tuple[int, int, int]:
    """Return page faults of a first and a second step of SIZE bytes, and what return_memory gave back."""
    command = [sys.executable, "-c", COUNT_FAULTS, how]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    first, second, returned = json.loads(said)
    return first, second, returned


def test_a_second_step_takes_no_memory_of_the_kernel() -> None:
    pages = SIZE // 4096
    assert count("as it comes")[1] > pages // 600  # a fault a page, or one for 512 of them
    first, second, _ = count("keeps")
    assert second < pages // 1000 < first


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text(), reason="the kernel has no huge pages"
)
def test_memory_comes_in_huge_pages() -> None:
    assert count("keeps")[0] < SIZE // 4096 // 2


def test_what_is_kept_can_be_returned() -> None:
    assert count("keeps")[2] > SIZE // 2
