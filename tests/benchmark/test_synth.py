"""How fast the built-in world is."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from univs.benchmark import main, synth
from univs.benchmark.synth import WARM_UP, Speed, measure, speed_table
from univs.data.synth import SynthVS
from univs.errors import UserError


def test_frames_are_counted_without_the_warm_up_and_parts_are_shares() -> None:
    clips = SynthVS("train", (48, 80), num_frames=3, length=WARM_UP + 4)
    plain, described = measure(clips), measure(clips, expressions=True)
    assert plain.frames == described.frames == 12
    assert 0 < plain.cpu and 0 < plain.seconds
    assert plain.parts["expressions"] == 0 < described.parts["expressions"]
    assert all(share > 0 for part, share in plain.parts.items() if part != "expressions")
    assert 0.5 < sum(plain.parts.values()) <= 1


def test_what_the_table_says() -> None:
    parts = dict.fromkeys((part for part, _, _ in synth.PARTS), 0.2)
    table = speed_table("title", {"1": Speed(80, 2.0, 0.5, parts)})
    assert [str(column.header) for column in table.columns] == ["difficulty", "1"]
    assert list(table.columns[0].cells)[:2] == ["frames a second", "of a core"]
    assert list(table.columns[1].cells) == ["40", "160", *["20%"] * 5]


def test_each_kind_of_clip_has_its_row(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (60, 40), (10, 120, 30)).save(tmp_path / "a.png")
    options = ["--size", "48x80", "--frames", "2", "--clips", "1", "--photos", str(tmp_path)]
    assert main(["synth", *options]) == 0
    said = capsys.readouterr().out
    assert "2 frames of 48x80" in said
    (head,) = [line for line in said.splitlines() if "difficulty" in line]
    assert [cell.strip() for cell in head.split("┃")[1:-1]] == [
        "difficulty", "0", "0.5", "1", "0.5, texts", "0.5, photos",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--clips", "0"], "--clips"), (["--size", "9"], "height x width"), (["--frames", "0"], "one frame")],
)
def test_what_cannot_be_used_is_one_line(options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["synth", *options])
