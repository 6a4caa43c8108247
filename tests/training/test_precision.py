"""Which number format is chosen, and why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from univs.training import precision
from univs.training.precision import choose_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_set_is_taken(name: str, device: torch.device) -> None:
    assert choose_precision(name, device) == (name, "as stage.precision says")


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        ("fpu avx512_bf16 amx_tile amx_bf16 amx_int8", "bfloat16"),
        ("fpu avx512_bf16 amx_tile amx_bf16_other", "float32"),
        (None, "float32"),
    ],
)
def test_a_processor_is_asked_for_its_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, want: str
) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    chosen, why = choose_precision("auto", CPU)
    assert chosen == want and "amx_bf16" in why


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_is_asked_whether_it_does_not_emulate(monkeypatch: pytest.MonkeyPatch, able: bool) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: asked.append(how) or able)
    chosen, why = choose_precision("auto", GPU)
    assert chosen == ("bfloat16" if able else "float32") and "GPU" in why and asked == [{"including_emulation": False}]
