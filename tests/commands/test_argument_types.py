"""Arguments that are paths or numbers of pixels, and what only looks like one."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from univs.cli import main
from univs.commands.argument_types import a_path, a_short_side, read_size
from univs.errors import UserError


def test_sizes() -> None:
    assert [a_short_side(text) for text in ("0", "480", "8192")] == [0, 480, 8192]
    assert a_path("a b") == Path("a b")


@pytest.mark.parametrize("text", ["", "-1", "1.5", "٣", "0x10", "8193", "9" * 30, "9" * 6000, "1e3", " 4"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no number of pixels up to 8192"):
        a_short_side(text)


@pytest.mark.parametrize(
    "arguments",
    [["segment", "v", "--out", ""], ["score", "vspw", "--gt", "", "--pred", "p"], ["datasets", "check", "vspw", ""]],
)
def test_an_empty_path_is_not_the_folder_one_is_in(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "is empty; expected a path" in capsys.readouterr().err


def test_heights_and_widths() -> None:
    assert read_size("240x427") == (240, 427)


@pytest.mark.parametrize(
    "text", ["240", "240x", "x427", "axb", "-1x5", "0x10", "10x0", "240x427x3", "٣x٣", "²x3", "9" * 5000 + "x9", " 4x4"]
)
def test_what_is_no_height_and_width(text: str) -> None:
    with pytest.raises(UserError, match="--flat .*: expected height x width, such as 240x427") as error:
        read_size(text, "--flat")
    assert len(str(error.value)) < 120
