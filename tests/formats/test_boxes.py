"""Boxes of frames: from label maps, and as readers give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from univs.errors import UserError
from univs.formats import Recording
from univs.formats.boxes import box_of_corner, tight_boxes
from univs.formats.recording import FrameLabels


def test_tight_boxes() -> None:
    """Of objects alone: background and unknown pixels have none."""
    labels = np.zeros((7, 9), np.uint8)
    labels[1:4, 2] = 5
    labels[3, 2:6] = 5
    labels[6, 8] = 9
    labels[0] = 255
    assert tight_boxes(labels) == {5: (2, 1, 6, 4), 9: (8, 6, 9, 7)}
    assert tight_boxes(np.zeros((3, 3), np.uint8)) == {}


def test_boxes_by_their_corner() -> None:
    assert box_of_corner([2, 3.5, 10, 1]) == (2, 3.5, 12, 4.5)
    for wrong in ([1, 2, 3], [1, 2, 0, 4], [1, 2, 3, -1], [1, 2, float("nan"), 3], [1, 2, 3, "4"], [1, 2, 3, True]):
        with pytest.raises(ValueError):
            box_of_corner(wrong)


def test_a_recording_reads_masks_only_where_it_has_no_boxes() -> None:
    labels = np.zeros((4, 6), np.uint8)
    labels[1:3, 2:5] = 2
    by_mask = Recording("a", (Path("0.png"),), (0,), lambda index: FrameLabels(labels))
    assert by_mask.boxes_of(0) == {2: (2, 1, 5, 3)}

    def forbidden(index: int) -> FrameLabels:
        raise AssertionError("masks are read")

    both = Recording("a", (Path("0.png"),), (0,), forbidden, boxes=lambda index: {1: (0.0, 0.0, 3.0, 2.0)})
    assert both.boxes_of(0) == {1: (0, 0, 3, 2)}


def test_boxes_alone_are_no_masks(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (6, 4)).save(tmp_path / "0.png")
    alone = Recording("a", (tmp_path / "0.png",), (0,), boxes=lambda index: {})
    with pytest.raises(UserError, match="a has boxes and no masks; supervision=boxes trains on them"):
        alone.read(0)
