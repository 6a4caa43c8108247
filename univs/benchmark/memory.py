"""Memory of this process, now and at most, as Linux, macOS and Windows each say it."""

from __future__ import annotations

import os
import subprocess
import sys


def resident_bytes() -> int:
    """Memory that is really in use."""
    if sys.platform == "win32":
        return _windows_bytes("WorkingSetSize")
    if sys.platform == "darwin":
        return 1024 * int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(os.getpid())]))
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most that was in use since the process began."""
    if sys.platform == "win32":
        return _windows_bytes("PeakWorkingSetSize")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # elsewhere than on macOS these are KiB


def _windows_bytes(field: str) -> int:
    """A field of PROCESS_MEMORY_COUNTERS. Raises OSError."""
    import ctypes

    sizes = ["PeakWorkingSetSize", "WorkingSetSize", "QuotaPeakPagedPoolUsage", "QuotaPagedPoolUsage"]
    sizes += ["QuotaPeakNonPagedPoolUsage", "QuotaNonPagedPoolUsage", "PagefileUsage", "PeakPagefileUsage"]

    class Counters(ctypes.Structure):
        _fields_ = [
            ("cb", ctypes.c_uint32),
            ("PageFaultCount", ctypes.c_uint32),
            *((name, ctypes.c_size_t) for name in sizes),
        ]

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 (only Windows has it)
    found = Counters(cb=ctypes.sizeof(Counters))
    this_process = ctypes.c_void_p(-1)
    if not kernel.K32GetProcessMemoryInfo(this_process, ctypes.byref(found), found.cb):
        raise OSError("Windows does not say how much memory this process has")
    return int(getattr(found, field))
