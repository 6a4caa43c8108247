"""Panoptic segments against a loop over entities and pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from univs.masks.geometry import Geometry
from univs.masks.strips import upsampled
from univs.trackers.classes import Classes
from univs.trackers.clip.outputs import Windows
from univs.trackers.clip.panoptic import PanopticOutput
from univs.trackers.clip.tracks import Tracks
from univs.trackers.mask_scores import mask_quality
from univs.trackers.tracker import Span

CLASSES = Classes.of(("dog", "sky", "sea"), torch.zeros(3, 1), {0})
GEOMETRY = Geometry.fit(32, 64)
SCORES = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.1, 0.1], [0.1, 0.6, 0.2]])  # dog, sky, dog, sky


def tracks_with(logits: torch.Tensor) -> Tracks:
    tracks = Tracks(3)
    frames = range(logits.shape[1])
    tracks.begin(frames, (8, 16))
    tracks.add(frames, SCORES, torch.randn(4, len(frames), 2), logits, torch.ones(4))
    return tracks


def slow(logits: torch.Tensor, overlap: float) -> np.ndarray:
    large = torch.stack([upsampled(logits[:, t]) for t in range(logits.shape[1])], 1)
    quality = mask_quality(large)
    scores, categories = SCORES.max(1)
    scores = scores * quality * torch.where(categories == 0, 1.0, 0.75)
    winner = (scores[:, None, None, None] * large).argmax(0)
    winner[(large < 0).all(0)] = -1
    out = np.zeros(winner.shape, np.int32)
    number, stuff = 0, {}
    for row in range(4):
        mask = (winner == row) & (large[row] >= 0)
        if not mask.any():
            continue
        thing = int(categories[row]) == 0
        if thing and float((winner == row).sum() / (large[row] >= 0).sum()) < overlap:
            continue
        if thing or int(categories[row]) not in stuff:
            number += 1
            if not thing:
                stuff[int(categories[row])] = number
        out[mask.numpy()] = number if thing else stuff[int(categories[row])]
    return out


@pytest.mark.parametrize("overlap", [0.0, 0.3])
def test_a_window_is_assembled_as_a_whole(overlap: float) -> None:
    logits = 3 * torch.randn(4, 3, 8, 16, generator=torch.manual_seed(2))
    assembly = PanopticOutput(CLASSES, GEOMETRY, Windows(5, 5), overlap=overlap)
    answers = assembly.finish(tracks_with(logits))
    assert [answer.frame_index for answer in answers] == [0, 1, 2]
    assert (np.stack([answer.labels for answer in answers]) == slow(logits, overlap)).all()


def test_numbers_stay_from_window_to_window_and_each_leaves_out_one() -> None:
    logits = 3 * torch.randn(4, 12, 8, 16, generator=torch.manual_seed(3))
    windows = Windows(5, 1)
    output = PanopticOutput(CLASSES, GEOMETRY, windows, overlap=0.0)
    tracks = tracks_with(logits)
    windows.end(Span(11, 12, 12))  # 10 frames are a window, due one frame after its end
    first = output.begin(tracks, Span(12, 13, 13))
    assert [result.frame_index for result in first] == list(range(10)) and output.oldest == 10
    known = {segment.number: segment.category for segment in output.segments}
    tracks.add(
        range(12),
        torch.tensor([[0.9, 0.0, 0.0]]),
        torch.randn(1, 12, 2),
        torch.full((1, 12, 8, 16), 9.0),
        torch.ones(1),
    )
    rest = output.finish(tracks)
    assert [result.frame_index for result in rest] == [10, 11]
    numbers = {segment.number: segment.category for segment in output.segments}
    assert numbers.items() >= known.items() and set(numbers) - set(known) == {max(known) + 2}
    for result in [*first, *rest]:
        assert all(CLASSES.names[numbers[number]] == name for number, name in result.names.items())
        assert result.stuff == {number for number in result.names if numbers[number] != 0}


def test_windows_come_after_memory_and_every_length() -> None:
    windows = Windows(5, 5)
    assert windows.length == 10
    due = []
    for start in range(40):
        if windows.begin():
            due.append(start - 1)
        windows.end(Span(start, start + 5, start + 1))
    assert due == [15, 25, 35]
