"""Which frames of a video stand on its contact sheet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from univs.video.reader import Frame


class SheetFrames:
    """At most `limit` small pictures spread evenly over a video of unknown length, and its last one."""

    def __init__(self, limit: int = 12, width: int = 480) -> None:
        self._limit, self._width = limit, width
        self._first, self._step = 0, 1
        self._kept: dict[int, Frame] = {}
        self._last: tuple[int, Callable[[], Frame]] | None = None

    @property
    def empty(self) -> bool:
        """Whether no frame has come yet."""
        return not self._kept

    def add(self, index: int, draw: Callable[[], Frame]) -> None:
        """Offer the picture of the next frame; it is drawn only if it is wanted."""
        self._last = index, draw
        if self.empty:
            self._first = index
        if (index - self._first) % self._step:
            return
        if len(self._kept) == self._limit:
            self._step *= 2
            self._kept = {i: kept for i, kept in self._kept.items() if (i - self._first) % self._step == 0}
        if (index - self._first) % self._step == 0:
            self._kept[index] = self._small(draw())

    def pictures(self) -> dict[int, Frame]:
        """Frame index -> small picture, in order."""
        chosen = dict(self._kept)
        if self._last is not None and self._last[0] not in chosen:
            if len(chosen) == self._limit:
                del chosen[max(chosen)]
            chosen[self._last[0]] = self._small(self._last[1]())
        return chosen

    def _small(self, picture: Frame) -> Frame:
        height, width = picture.shape[:2]
        image = Image.fromarray(picture)
        image.thumbnail((self._width, max(1, round(self._width * height / width))), Image.Resampling.LANCZOS)
        return np.asarray(image)
