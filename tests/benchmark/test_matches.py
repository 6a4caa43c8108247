"""What the TK-loss costs."""

from __future__ import annotations

import pytest

from univs.benchmark import main, matches
from univs.benchmark.matches import Clip, Cost, measure
from univs.errors import UserError


def test_a_row_is_measured() -> None:
    """More places are searched in more time, whatever the machine: 121 instead of 9."""
    clip = Clip(2, 160, 240, 2, "cpu", None)
    few, many = measure(clip, 3, 3), measure(clip, 5, 1)
    assert 0 < few.search < many.search and few.comparison > 0 and many.peak >= 0


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[Clip, int, int]] = []

    def apart(clip: Clip, radius: int, step: int) -> Cost:
        asked.append((clip, radius, step))
        return Cost(0.25 * radius, 0.125, 3 * 2**20)

    monkeypatch.setattr(matches, "apart", apart)
    assert main(["matches", "--device", "cpu", "--masks", "4", "--threads", "2"]) == 0
    clip = Clip(5, 480, 864, 4, "cpu", 2)
    assert asked == [(clip, 3, 3), (clip, 5, 1)]
    out = capsys.readouterr().out
    assert "5 frames of 120x216 cells, 4 masks, cpu" in out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "radius" in line]
    assert rows == [["9 places, radius 3", "750", "125", "3"], ["dense, radius 5", "1250", "125", "3"]]


@pytest.mark.parametrize("wrong", [["--size", "big"], ["--size", "3x9"], ["--frames", "1"], ["--masks", "0"]])
def test_options_that_cannot_be_used(wrong: list[str]) -> None:
    with pytest.raises(UserError, match=wrong[0]):
        main(["matches", "--device", "cpu", *wrong])


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:", "cudax", "meta"])
def test_devices_that_are_none(device: str) -> None:
    with pytest.raises(UserError, match=f"device must be auto, cpu, cuda or one GPU, such as cuda:1, not {device}"):
        main(["matches", "--device", device])
