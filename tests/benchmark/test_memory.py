"""Memory as each system says it; where there is none to say it, a stand-in does."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from univs.benchmark import memory


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is of Linux")
def test_linux() -> None:
    said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    resident = 1024 * int(said["VmRSS"].split()[0])
    assert memory.resident_bytes() == pytest.approx(resident, rel=0.1)
    assert memory.peak_bytes() >= resident  # what the process before exec had counts too


def test_macos_counts_the_peak_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ps(command: list[str]) -> bytes:
        asked.append(command)
        return b" 2048\n"

    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(subprocess, "check_output", ps)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=3 * 2**20))
    assert memory.resident_bytes() == 2 * 2**20 and memory.peak_bytes() == 3 * 2**20
    assert asked == [["ps", "-o", "rss=", "-p", str(os.getpid())]]


def test_windows_needs_no_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in fills the bytes that the structure of a 64-bit Windows has."""

    def answer(process: Any, counters: Any, size: int) -> int:
        assert size == 72
        sizes = (ctypes.c_uint64 * 9).from_buffer(counters._obj)
        sizes[1], sizes[2] = 5 * 2**30, 4 * 2**30
        return 1

    kernel = SimpleNamespace(K32GetProcessMemoryInfo=answer)
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory.resident_bytes() == 4 * 2**30 and memory.peak_bytes() == 5 * 2**30
    kernel.K32GetProcessMemoryInfo = lambda *given: 0
    with pytest.raises(OSError, match="Windows does not say"):
        memory.peak_bytes()


def test_benchmarks_can_be_imported_where_there_is_no_resource() -> None:
    names = ("step", "training", "official", "interactive", "models", "matches")
    code = f"import sys; sys.modules['resource'] = None\nfor n in {names}: __import__(f'univs.benchmark.{{n}}')"
    subprocess.run([sys.executable, "-c", code], check=True)
