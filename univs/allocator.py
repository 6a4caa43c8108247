"""How this process treats memory that tensors have given back."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's `mallopt`."""

LARGEST = 12 << 20
"""Bytes from which a tensor still gets pages of its own, which go back when it is freed: kept ones that large would
leave holes that nothing else fits into."""


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the next tensor and not to give it back to the system.

    Large feature maps are made and freed on every frame; by default each gets fresh pages that the kernel has to clear
    first, which costs about a fifth of the time of a frame on a CPU. Memory use stays at its highest point then. For
    programs to call at their start; the library never does so by itself. Returns whether it took effect (Linux with
    glibc).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 1 << 26))
    return all(mallopt(name, value) == 1 for name, value in settings)
