"""Errors that say that memory is short, and those that do not."""

from __future__ import annotations

import pytest

from univs import cli
from univs.errors import lacks_memory


def test_memory_that_is_lacking_is_told_from_other_errors() -> None:
    torch_says = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    assert lacks_memory(MemoryError()) and lacks_memory(RuntimeError(torch_says))
    assert lacks_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not lacks_memory(RuntimeError("size mismatch")) and not lacks_memory(RecursionError("maximum recursion"))


def test_lacking_memory_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def raises(error: Exception) -> None:
        def run(_: object) -> None:
            raise error

        monkeypatch.setattr(cli, "_datasets", run)

    raises(RuntimeError("CUDA out of memory"))
    assert cli.main(["datasets"]) == 2
    assert capsys.readouterr().err == (
        "univs: error: there is not enough memory for this; a smaller size takes less. What was finished stays\n"
    )
    raises(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["datasets"])
