"""The folder that a segmented video becomes: masks, results, overlay video, contact sheet."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from univs.errors import UserError
from univs.files import atomic_path
from univs.prompts import Prompt
from univs.results import FrameResult, TrackSpool
from univs.video import VideoWriter, write_indexed_png
from univs.video.reader import Frame
from univs.visualization import contact_sheet, davis_palette, draw_prompts, overlay

if TYPE_CHECKING:
    from typing_extensions import Self


class OutputFolder:
    """Writes results as they come; memory use does not depend on the length of the video.

    masks/00000.png ... appear one by one; results.json, overlay.mp4 and contact_sheet.png when the block ends. If it
    ends early, by a UserError or Ctrl-C, they hold the frames done so far; after any other error they do not appear.
    Masks that an earlier, longer run left in the folder are then removed.
    Raises OSError if the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, fps: float, title: str, *, with_overlay: bool = True) -> None:
        self._folder = folder
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        self._palette = davis_palette()
        self._title = title
        self._video = VideoWriter(folder / "overlay.mp4", fps) if with_overlay else None
        self._sheet = _SheetFrames()
        self.spool = TrackSpool()

    def add(self, frame: Frame, result: FrameResult, prompts: Sequence[Prompt] = ()) -> None:
        """Write the result of the next frame; prompts given on it are drawn into the pictures."""
        write_indexed_png(self._folder / "masks" / f"{result.frame_index:05d}.png", result.labels, self._palette)
        self.spool.append(result)

        def draw() -> Frame:
            return draw_prompts(overlay(frame, result.labels), prompts)

        if self._video is None:
            self._sheet.add(result.frame_index, draw)
        else:
            picture = draw()
            self._sheet.add(result.frame_index, lambda: picture)
            self._video.write(picture)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.spool:
            keep = error is None or isinstance(error, UserError | KeyboardInterrupt)
            if self._video is not None:
                self._video.__exit__(*((None, None, None) if keep else (kind, error, trace)))
            if keep and self.spool.num_frames:
                self.spool.write_json(self._folder / "results.json")
                with atomic_path(self._folder / "contact_sheet.png") as temporary:
                    Image.fromarray(self._sheet.page(self._title)).save(temporary)
                self._remove_older_masks()

    def _remove_older_masks(self) -> None:
        for path in (self._folder / "masks").glob("[0-9]*.png"):
            if re.fullmatch(r"\d{5,}", path.stem) and int(path.stem) >= self.spool.num_frames:
                path.unlink()


class _SheetFrames:
    """At most `limit` small pictures spread evenly over a video of unknown length, and its last one."""

    def __init__(self, limit: int = 12, width: int = 480) -> None:
        self._limit, self._width = limit, width
        self._step = 1
        self._kept: dict[int, Frame] = {}
        self._last: tuple[int, Callable[[], Frame]] | None = None

    def add(self, index: int, draw: Callable[[], Frame]) -> None:
        """Offer the picture of the next frame; it is drawn only if it is wanted."""
        self._last = index, draw
        if index % self._step:
            return
        if len(self._kept) == self._limit:
            self._step *= 2
            self._kept = {i: kept for i, kept in self._kept.items() if i % self._step == 0}
        if index % self._step == 0:
            self._kept[index] = self._small(draw())

    def page(self, title: str) -> Frame:
        """The contact sheet of what was kept."""
        chosen = dict(self._kept)
        if self._last is not None and self._last[0] not in chosen:
            if len(chosen) == self._limit:
                del chosen[max(chosen)]
            chosen[self._last[0]] = self._small(self._last[1]())
        return contact_sheet(list(chosen.values()), [f"frame {index}" for index in chosen], title=title)

    def _small(self, picture: Frame) -> Frame:
        height, width = picture.shape[:2]
        image = Image.fromarray(picture)
        image.thumbnail((self._width, max(1, round(self._width * height / width))), Image.Resampling.LANCZOS)
        return np.asarray(image)
