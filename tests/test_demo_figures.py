"""The figures of `univs demo`, by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from univs import demo
from univs.commands.segment import Summary
from univs.formats.sample import VideoSample
from univs.prompts import Box
from univs.results import FrameResult


def test_frames_count_from_the_one_after_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The object is given on the second of four frames, where the answer is wrong; then right, then a half."""
    labels = np.zeros((4, 20, 30), np.uint8)
    labels[:, 5:15, 5:25] = 1
    frames = np.zeros((4, 20, 30, 3), np.uint8)
    answered = [labels[0], 0 * labels[1], labels[2], labels[3] * (np.arange(30) < 15)]

    def run(
        model: Any, reader: Any, prompts: Any, folder: Path, *, watch: Callable[..., None] | None = None, **options: Any
    ) -> Summary:
        if watch is None:
            return Summary(132, 99.0, 66.0, {1: 0.9}, {1: 80})
        for index in range(1, 4):
            watch(FrameResult(index, answered[index], (1,)))
        return Summary(4, 10.0, 0.5, {1: 0.9}, {1: 3})

    prompts = {1: [Box(1, (5, 5, 25, 15))]}
    monkeypatch.setattr(demo, "demo_clip", lambda: (VideoSample(frames, labels, {1: "dog"}, name="a"), prompts))
    monkeypatch.setattr(demo, "load_univs", lambda name: None)
    monkeypatch.setattr(demo, "segment_to_folder", run)
    monkeypatch.setattr(demo, "_sheet", lambda folder: np.zeros((4, 4, 3), np.uint8))
    demo.run_demo(tmp_path / "demo")
    said = capsys.readouterr().out
    (row,) = [line.replace("│", " ").split() for line in said.splitlines() if "dog" in line]
    assert row[:5] == ["1", "dog", "box", "1", "75.0"], "the mean of 1 and 1/2"
    assert "4 frames, 8.0 a second" in said
    words = " ".join(said.split())
    assert "is visible in 80 of the 92 frames from there on; 132 frames, 2.0 a second" in words
