"""Figures that are kept in place of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from univs.evaluation.run.figure_writer import FigureWriter
from univs.formats import Recording
from univs.formats.answer_writer import Take
from univs.results import FrameResult


class Counting:
    """Counts the answers of a video."""

    def __init__(self, recording: Recording) -> None:
        self.count = 0

    def take(self, result: FrameResult) -> None:
        self.count += 1

    def figures(self) -> dict[str, Any]:
        return {"answers": self.count}


class Masks:
    """Notes what it is told."""

    pred = Path()

    def __init__(self) -> None:
        self.taken: list[FrameResult] = []
        self.finished: list[str] = []

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        yield self.taken.append

    def has(self, recording: Recording) -> bool:
        return bool(self.taken)

    def finish(self, recordings: Sequence[Recording]) -> None:
        self.finished = [recording.name for recording in recordings]


def test_figures_and_masks_of_a_video(tmp_path: Path) -> None:
    masks, video = Masks(), Recording("set/a", ())
    writer = FigureWriter(tmp_path, Counting, masks)
    results = [FrameResult(index, np.zeros((2, 2), np.uint8), ()) for index in range(3)]
    assert not writer.has(video) and writer.read(video) is None
    with writer.writing(video) as take:
        for result in results:
            take(result)
    assert writer.has(video) and writer.read(video) == {"answers": 3} and masks.taken == results
    writer.finish([video])
    assert masks.finished == ["set/a"]
    assert writer.all([video]) == {"set/a": {"answers": 3}}
    masks.taken = []
    assert not writer.has(video), "without its masks a video is not done"
    FigureWriter(tmp_path, Counting).finish([video])


def test_a_video_that_breaks_off_leaves_no_figures(tmp_path: Path) -> None:
    writer, video = FigureWriter(tmp_path, Counting), Recording("a", ())
    with pytest.raises(RuntimeError), writer.writing(video) as take:
        take(FrameResult(0, np.zeros((2, 2), np.uint8), ()))
        raise RuntimeError
    assert not writer.has(video) and not list(tmp_path.iterdir())
