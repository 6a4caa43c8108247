"""What is put behind a subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.commands.backgrounds import Background, colour
from univs.errors import UserError
from univs.video import VideoWriter


def test_colours_by_number_and_name() -> None:
    assert colour("#ff8000") == (255, 128, 0) and colour("white") == (255, 255, 255)
    picture = Background("navy", (4, 6)).at(1.5)
    assert picture.shape == (4, 6, 3) and (picture == (0, 0, 128)).all()
    for none in ("sky.png", "rgb(300,0,0)", "#12345", "#rrggbb"):
        with pytest.raises(UserError, match="there is no such file, and it is no colour; give #rrggbb"):
            Background(none, (4, 6))


def test_a_picture_is_there_at_every_moment(tmp_path: Path) -> None:
    Image.fromarray(np.full((10, 40, 3), 90, np.uint8)).save(tmp_path / "ground.png")
    background = Background(str(tmp_path / "ground.png"), (20, 20))
    assert background.at(0) is background.at(7.3), "it is not read and cut again"
    assert background.at(0).shape == (20, 20, 3) and (background.at(0) == 90).all()


def test_a_video_has_its_own_clock_and_begins_anew(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "three.mp4", 5, crf=1) as video:
        for value in (20, 120, 220):
            video.write(np.full((32, 32, 3), value, np.uint8))
    background = Background(str(tmp_path / "three.mp4"), (16, 16))
    shown = [int(background.at(t / 10).mean()) for t in range(10)]
    wanted = [20, 20, 120, 120, 220, 220, 20, 20, 120, 120]
    assert np.abs(np.array(shown) - wanted).max() <= 3
    late = Background(str(tmp_path / "three.mp4"), (16, 16))
    assert abs(int(late.at(1.4).mean()) - 120) <= 3, "frames that nobody asks for are passed over"


def test_frames_of_a_background_as_fast_as_the_video_are_those_of_the_same_number(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 25, crf=1) as video:
        for t in range(32):
            video.write(np.full((32, 32, 3), 8 * t, np.uint8))
    background = Background(str(tmp_path / "clip.mp4"), (16, 16))
    shown = [int(background.at(t / 25).mean()) for t in range(32)]  # 29 / 25 * 25 is less than 29
    assert np.abs(np.array(shown) - 8 * np.arange(32)).max() <= 3
