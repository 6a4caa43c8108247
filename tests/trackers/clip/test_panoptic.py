"""Panoptic segments against a loop over entities and pixels, in windows and frame by frame."""

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


def slow(logits: torch.Tensor, by_logit: bool, overlap: float) -> np.ndarray:
    large = torch.stack([upsampled(logits[:, t]) for t in range(logits.shape[1])], 1)
    quality = mask_quality(large)
    scores, categories = SCORES.max(1)
    scores = scores * quality * torch.where(categories == 0, 1.0, 0.75)
    value = large if by_logit else large.sigmoid()
    winner = (scores[:, None, None, None] * value).argmax(0)
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


@pytest.mark.parametrize("weigh", ["probability", "logit"])
@pytest.mark.parametrize("overlap", [0.0, 0.3])
def test_a_window_is_assembled_as_a_whole(weigh: str, overlap: float) -> None:
    logits = 3 * torch.randn(4, 3, 8, 16, generator=torch.manual_seed(2))
    assembly = PanopticOutput(CLASSES, GEOMETRY, windows=Windows(5, 5), weigh=weigh, overlap=overlap)
    answers = assembly.finish(tracks_with(logits))
    assert [answer.frame_index for answer in answers] == [0, 1, 2]
    assert (np.stack([answer.labels() for answer in answers]) == slow(logits, weigh == "logit", overlap)).all()


def test_frame_by_frame_numbers_stay() -> None:
    logits = 3 * torch.randn(4, 3, 8, 16, generator=torch.manual_seed(3))
    assembly = PanopticOutput(CLASSES, GEOMETRY, overlap=0.0)
    tracks = tracks_with(logits)
    first = assembly.answers(tracks, Span(0, 3, 1))
    assert [answer.frame_index for answer in first] == [0] and assembly.oldest == 1
    rest = assembly.finish(tracks)
    assert [answer.frame_index for answer in rest] == [1, 2]
    numbers = {segment.number: segment.category for segment in assembly.segments}
    for answer in [*first, *rest]:
        for number, name in answer.names.items():
            assert CLASSES.names[numbers[number]] == name


def test_windows_come_after_memory_and_every_length() -> None:
    windows = Windows(5, 5)
    assert windows.length == 10
    due = []
    for start in range(40):
        if windows.begin():
            due.append(start - 1)
        windows.end(Span(start, start + 5, start + 1))
    assert due == [15, 25, 35]
