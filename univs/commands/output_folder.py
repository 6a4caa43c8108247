"""The folder that a segmented video becomes: masks, results, overlay video, contact sheet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from univs.claim import CutShort
from univs.commands.earlier_results import (
    holds_results,
    left_in,
    refuse_foreign,
    refuse_obstacles,
    remove_earlier,
)
from univs.commands.label_files import LabelFiles, label_files
from univs.commands.sheet_frames import SheetFrames
from univs.errors import UserError
from univs.prompts import Prompt
from univs.results import FrameResult, TrackSpool
from univs.video import VideoWriter
from univs.video.pictures import write_picture
from univs.video.reader import Frame
from univs.visualization import contact_sheet, draw_prompts, draw_rotated_boxes, overlay

if TYPE_CHECKING:
    from typing_extensions import Self


class OutputFolder:
    """Writes results as they come; memory use does not depend on the length of the video.

    masks/00000.png ... (or what else the task gives: `label_files`) appear one by one; results.json, overlay.mp4 and
    contact_sheet.png when the block ends. If it ends early, by a UserError or Ctrl-C, they hold the frames done so far;
    after any other error they do not appear. Ctrl-C that leaves a part, without results.json or while the block ends,
    goes on as `CutShort`. With the first frame, what an earlier run wrote into the folder goes. If no run of ours seems
    to have been there, files of such names that would be replaced are refused; others stay, and a line on stderr names
    them.
    kind: of the labels (`Task.labels`). unfinished: whether an earlier run was killed there (`Claim.unfinished`).
    frames: of the video; None: not known.
    Raises OSError if the folder cannot be made or written to, UserError as `refuse_obstacles` and `refuse_foreign` do.
    """

    def __init__(
        self,
        folder: Path,
        fps: float,
        title: str,
        *,
        with_overlay: bool = True,
        kind: str = "masks",
        unfinished: bool = False,
        frames: int | None = None,
    ) -> None:
        refuse_obstacles(folder)
        if not unfinished:
            refuse_foreign(folder, kind, with_overlay=with_overlay, frames=frames)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._kind, self._unfinished = folder, kind, unfinished
        self._begun = False
        self._labels: LabelFiles | None = None  # made with the first frame
        self._title = title
        self._video = VideoWriter(folder / "overlay.mp4", fps) if with_overlay else None
        self._sheet = SheetFrames()
        self.spool = TrackSpool()

    def add(self, frame: Frame, result: FrameResult, prompts: Sequence[Prompt] = ()) -> None:
        """Write the result of the next frame; prompts given on it are drawn into the pictures."""
        if self._labels is None:
            self._begun = True
            self._clear()
            self._labels = label_files(self._kind, self._folder)
        self._labels.add(result)
        self.spool.append(result)

        def draw() -> Frame:
            tinted = overlay(frame, result.labels, result.names)
            return draw_prompts(draw_rotated_boxes(tinted, result.rotated_boxes), prompts)

        if self._video is None:
            self._offer_to_sheet(result, draw)
        else:
            picture = draw()
            self._offer_to_sheet(result, lambda: picture)
            self._video.write(picture)

    def _clear(self) -> None:
        """Remove what an earlier run wrote, or say what lies there."""
        if self._unfinished or holds_results(self._folder):
            remove_earlier(self._folder)
        elif found := left_in(self._folder):
            print(f"univs: {self._folder} holds files that are not of this run: {found}", file=sys.stderr)

    def _offer_to_sheet(self, result: FrameResult, draw: Callable[[], Frame]) -> None:
        if result.object_ids or not self._sheet.empty:  # the sheet starts where the first object does
            self._sheet.add(result.frame_index, draw)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keep = error is None or isinstance(error, UserError | KeyboardInterrupt)
        try:
            with self.spool:
                if self._video is not None:
                    self._video.__exit__(*((None, None, None) if keep else (kind, error, trace)))
                if keep and self.spool.num_frames:
                    self.spool.write_json(self._folder / "results.json")
                    if not self._sheet.empty:
                        self._write_sheet()
                    assert self._labels is not None
                    self._labels.finish(self.spool)
                elif isinstance(error, KeyboardInterrupt):
                    raise error
        except KeyboardInterrupt as stop:
            if not self._begun:
                raise
            raise CutShort from stop

    def _write_sheet(self) -> None:
        pictures = self._sheet.pictures()
        page = contact_sheet(list(pictures.values()), [f"frame {index}" for index in pictures], title=self._title)
        write_picture(self._folder / "contact_sheet.png", page)
