"""What is put behind a subject: a colour, a picture, or a video with a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from univs.errors import UserError
from univs.video import VideoReader, open_video
from univs.visualization.effects import cover

Picture = NDArray[np.uint8]


class Background:
    """Pictures of one size, at any moment from the start on, none earlier than the one before.

    A video begins anew where it ends; a picture is a video of one frame. What is larger or wider than the frame is cut,
    nothing is stretched. name: the file or folder that is read, or the colour.
    """

    def __init__(self, given: str, size: tuple[int, int]) -> None:
        """given: a colour (#rrggbb, or a name), or the path of a picture or video. size: height and width.

        Raises UserError for what is neither, and for a camera.
        """
        self.name, self._size = given, size
        self._reader: VideoReader | None = None
        self._picture: Picture | None = None
        if not Path(given).exists():
            self._picture = np.broadcast_to(np.array(colour(given), np.uint8), (*size, 3))
            return
        self._reader = open_video(given)
        self.name = self._reader.name
        self._frames: Iterator[Picture] = iter(self._reader)
        self._taken = 0
        self._is_still = self._reader.num_frames == 1 and not self._reader.announced

    def at(self, seconds: float) -> Picture:
        """H W 3. Raises UserError where the video cannot be read."""
        if self._reader is not None and not (self._is_still and self._picture is not None):
            wanted = 1 + int(seconds * self._reader.fps + 1e-6)
            found: Picture | None = None
            while self._taken < wanted:
                found = self._next()
            if found is not None:
                self._picture = cover(found, self._size)
        assert self._picture is not None
        return self._picture

    def _next(self) -> Picture:
        assert self._reader is not None
        frame = next(self._frames, None)
        if frame is None:
            self._frames = iter(self._reader)
            frame = next(self._frames, None)
            if frame is None:
                raise UserError(f"--background {self._reader.name} has no frames")
        self._taken += 1
        return frame


def colour(given: str) -> tuple[int, int, int]:
    """Red, green and blue of #rrggbb or a name. UserError for anything else."""
    try:
        red, green, blue = ImageColor.getrgb(given)[:3]
    except ValueError:
        red = green = blue = -1
    if not all(0 <= part <= 255 for part in (red, green, blue)):  # rgb(300,0,0) is read as it stands
        raise UserError(
            f"--background {given}: there is no such file, and it is no colour; give #rrggbb, a name such as white, "
            "or the path of a picture or video"
        )
    return red, green, blue
