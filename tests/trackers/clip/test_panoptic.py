"""Panoptic segments against a loop over entities and pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.masks.strips import upsampled
from univs.results import FrameResult
from univs.trackers.classes import Classes
from univs.trackers.clip.outputs import Windows
from univs.trackers.clip.panoptic import PanopticOutput, Segment
from univs.trackers.clip.tracks import Tracks
from univs.trackers.mask_scores import mask_quality
from univs.trackers.tracker import Span

CLASSES = Classes.of(("dog", "sky", "sea"), torch.zeros(3, 1), {0})
GEOMETRY = Geometry.fit(32, 64)
SCORES = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.1, 0.1], [0.1, 0.6, 0.2]])  # dog, sky, dog, sky


def tracks_with(logits: Tensor) -> Tracks:
    tracks = Tracks(3)
    frames = range(logits.shape[1])
    tracks.begin(frames, (8, 16))
    tracks.add(frames, SCORES, torch.randn(4, len(frames), 2), logits, torch.ones(4))
    return tracks


def slow(logits: Tensor, overlap: float, geometry: Geometry) -> np.ndarray:
    large = torch.stack([geometry.from_padded(upsampled(logits[:, t])) for t in range(logits.shape[1])], 1)
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


@pytest.mark.parametrize("geometry", [GEOMETRY, Geometry.fit(27, 50), Geometry.fit(54, 100, 27)])
@pytest.mark.parametrize("overlap", [0.0, 0.3])
def test_a_window_is_assembled_as_a_whole(overlap: float, geometry: Geometry) -> None:
    logits = 3 * torch.randn(4, 3, 8, 16, generator=torch.manual_seed(2))
    assembly = PanopticOutput(CLASSES, geometry, Windows(5, 5), overlap=overlap)
    answers = assembly.finish(tracks_with(logits))
    assert [answer.frame_index for answer in answers] == [0, 1, 2]
    assert (np.stack([answer.labels for answer in answers]) == slow(logits, overlap, geometry)).all()


def test_numbers_stay_from_window_to_window_and_each_leaves_out_one() -> None:
    logits = 3 * torch.randn(4, 12, 8, 16, generator=torch.manual_seed(3))
    output = PanopticOutput(CLASSES, GEOMETRY, Windows(5, 1), overlap=0.0)
    tracks = tracks_with(logits)
    assert output.begin(tracks, Span(11, 12, 12)) == output.answers(tracks, Span(11, 12, 12)) == []
    # 10 frames are a window, due one frame after its end
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


def columns(first: float, *others: float) -> Tensor:
    """h w logits of which each quarter of the columns, from the left, has a value."""
    return torch.tensor([first, *others], dtype=torch.float32).repeat_interleave(4).expand(8, 16).clone()


def found(*entities: tuple[Tensor, tuple[float, float, float]], frames: int = 1) -> Tracks:
    """Entities, each with its logits (those of every frame, or of one after the other) and its class scores."""
    tracks = Tracks(3)
    tracks.begin(range(frames), (8, 16))
    logits = torch.stack([each.expand(frames, 8, 16) for each, _ in entities])
    scores = torch.tensor([said for _, said in entities])
    tracks.add(range(frames), scores, torch.ones(len(entities), frames, 2), logits, torch.ones(len(entities)))
    return tracks


def two_windows(output: PanopticOutput, tracks: Tracks) -> tuple[list[FrameResult], list[FrameResult]]:
    """The first ten frames, and the rest; `output` has windows of ten frames that are due after frame 11."""
    output.answers(tracks, Span(11, 12, 12))
    return output.begin(tracks, Span(12, 13, 13)), output.finish(tracks)


@pytest.mark.parametrize("known", [True, False])
def test_a_thing_that_was_shown_needs_half_the_share(known: bool) -> None:
    """In the second window the weaker dog has 2/5 of what it claims; in the first one it was alone, or nowhere."""
    strong, weak = columns(-8, -8, 8, 8), columns(-8, 8, 8, -8)
    weak[:, 5:8] = 8
    before = columns(8, -8, -8, -8) if known else columns(-8, -8, -8, -8)
    logits = torch.stack([before] * 10 + [weak])
    tracks = found((strong, (0.9, 0.0, 0.0)), (logits, (0.5, 0.0, 0.0)), frames=11)
    output = PanopticOutput(CLASSES, GEOMETRY, Windows(5, 1), overlap=0.7)
    first, (last,) = two_windows(output, tracks)
    assert all((2 in result.labels) == known for result in first)
    assert (2 in last.labels) == known and (last.labels[:, 18:30] == (2 if known else 0)).all()


def test_a_thing_that_turns_to_stuff_keeps_its_weight() -> None:
    """Its segment goes by the new class too, and what is stuff of that class has a number of its own."""
    tracks = found((columns(8, 8, -8, -8), (0.9, 0.1, 0.0)), (columns(-8, -8, 8, 8), (0.0, 0.0, 0.6)), frames=11)
    output = PanopticOutput(CLASSES, GEOMETRY, Windows(5, 1), stuff_weight=0.5)
    output.answers(tracks, Span(11, 12, 12))
    (before, *_) = output.begin(tracks, Span(12, 13, 13))
    assert before.scores == pytest.approx({1: 0.9, 2: 0.6 * 0.5})
    tracks.refresh_scores([0], torch.tensor([[0.0, 1.0, 0.0]]))  # now 0.45 a dog, 0.55 sky
    (after,) = output.finish(tracks)
    assert after.scores == pytest.approx({4: 0.55, 2: 0.6 * 0.5})
    assert output.segments == [Segment(1, 1, True), Segment(2, 2, False), Segment(4, 1, False)]
    assert after.names == {1: "sky", 2: "sea", 4: "sky"} and after.stuff == {2, 4}


def test_a_logit_of_zero_claims_a_pixel() -> None:
    """Of what it claims, the weaker dog loses the unsure half; what nobody else claims is its own."""
    weak, strong = columns(8, 0, 0.5, 0.5), columns(-8, -8, 8, 8)
    alone = PanopticOutput(CLASSES, GEOMETRY, Windows(5, 5), overlap=1.0)
    (result,) = alone.finish(found((weak, (0.5, 0.0, 0.0))))
    assert (result.labels == 1).all()  # all that it claims is as much as is asked for
    for overlap, is_shown in ((0.45, True), (0.6, False)):
        output = PanopticOutput(CLASSES, GEOMETRY, Windows(5, 5), overlap=overlap)
        (result,) = output.finish(found((strong, (0.9, 0.0, 0.0)), (weak, (0.5, 0.0, 0.0))))
        assert (result.labels[:, :30] == (2 if is_shown else 0)).all() and (result.labels[:, 34:] == 1).all()


def test_who_wins_only_what_he_does_not_claim_is_not_shown() -> None:
    """Two masks that are nowhere sure have the score 0; of such equals the first wins every pixel of the second."""
    nowhere, unsure = columns(-3, -3, -3, -3), columns(0.5, -3, -3, -3)
    output = PanopticOutput(CLASSES, GEOMETRY, Windows(5, 5))
    sure = columns(-8, -8, -8, 8)
    (result,) = output.finish(found((nowhere, (0.9, 0.0, 0.0)), (unsure, (0.9, 0.0, 0.0)), (sure, (0.5, 0.0, 0.0))))
    assert result.names == {1: "dog"} and (result.labels[:, 50:] == 1).all() and not result.labels[:, :46].any()
