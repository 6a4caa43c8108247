"""Tracks of instances: the scores they end with and the rows of the released evaluation, against slow readings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.trackers.classes import Classes
from univs.trackers.clip.instances import InstanceOutput
from univs.trackers.clip.outputs import Windows
from univs.trackers.clip.tracks import Tracks
from univs.trackers.tracker import Span

CLASSES = Classes.of(("cat", "dog", "cow"), torch.zeros(3, 1))
GEOMETRY = Geometry.fit(32, 64)


def tracks_of(scores: Tensor, quality: Tensor, frames: range = range(1)) -> Tracks:
    """Entities that the first clip has found."""
    count = len(scores)
    tracks = Tracks(3)
    tracks.begin(frames, (8, 16))
    logits = torch.randn(count, len(frames), 8, 16, generator=torch.manual_seed(0))
    tracks.add(frames, scores, torch.ones(count, len(frames), 2), logits, quality)
    return tracks


def output(most_rows: int = 35) -> InstanceOutput:
    return InstanceOutput(CLASSES, GEOMETRY, Windows(5, 5), most_rows)


def test_final_scores_are_the_mean_of_what_was_noted_after_each_window() -> None:
    """A window is complete with the clip of frame 15, which shows when the next one begins; the last one at the end."""
    generator = torch.manual_seed(1)
    made, tracks = output(), tracks_of(torch.rand(2, 3, generator=generator), torch.tensor([2.5, 0.5]))
    noted, answers = [], []
    for start in range(20):
        span = Span(start, start + 1, start + 1)
        if start == 16:
            noted.append(tracks.class_scores())
        answers += made.begin(tracks, span)
        if start:
            tracks.begin(range(start, start + 1), (8, 16))
            tracks.refresh_scores([0, 1], torch.rand(2, 3, generator=generator))
        answers += made.answers(tracks, span)
        assert made.oldest == start + 1 == len(answers)
    answers += made.finish(tracks)
    noted.append(tracks.class_scores())
    wanted = torch.stack(noted).mean(0) * torch.tensor([[2.5 / 3], [0.5 / 3]])
    torch.testing.assert_close(made.scores(tracks), wanted)
    assert [answer.frame_index for answer in answers] == list(range(20))
    assert set(answers[-1].object_ids) == {1, 2}


@pytest.mark.parametrize("most", [1, 4, 35])
def test_rows_are_pairs_of_entity_and_class_that_may_be(most: int) -> None:
    scores = torch.tensor([[0.9, 0.2, 0.004], [0.005, 0.3, 0.04], [0.051, 0.0, 0.06], [0.7, 0.02, 0.001]])
    quality = torch.tensor([1.0, 3.5, 2.0, 0.5])
    made, tracks = output(most), tracks_of(scores, quality)
    pairs = [(n, k) for n in range(4) for k in range(3) if scores[n, k] >= 0.005]
    value = {(n, k): float(scores[n, k] * quality[n] / 4) for n, k in pairs}
    likely = sum(float(score) > 0.05 for score in scores.flatten())
    allowed = max(int(1.5 * likely), most)
    ordered = sorted(value.values(), reverse=True)
    least = ordered[allowed] if len(ordered) > allowed else -1.0
    wanted = [(n + 1, k, value[n, k]) for n, k in pairs if value[n, k] >= least]
    found = [(row.entity_id, row.category, row.score) for row in made.rows(tracks)]
    assert found == [(n, k, pytest.approx(score)) for n, k, score in wanted]
    assert len(found) < 12


def test_of_many_pairs_as_many_stay_as_may_be_and_one_more() -> None:
    scores = torch.rand(20, 3, generator=torch.manual_seed(3)) * 0.04 + 0.006
    rows = output(10).rows(tracks_of(scores, torch.ones(20)))
    assert sorted((row.score for row in rows), reverse=True) == pytest.approx(
        (scores.flatten() / 2).sort(descending=True).values[:11].tolist()
    )


def test_a_frame_is_handed_out_when_it_is_final_and_as_it_was_then() -> None:
    frames = range(3)
    made, tracks = output(), tracks_of(torch.tensor([[0.1, 0.8, 0.1]]), torch.ones(1), frames)
    (first,) = made.answers(tracks, Span(0, 3, 1))
    before = first.mask(1).copy()
    tracks.confirm([0], frames, torch.full((1, 3, 8, 16), -9.0), torch.ones(1))
    assert (first.mask(1) == before).all() and before.any()
    second, third = made.finish(tracks)
    assert (second.frame_index, third.frame_index) == (1, 2) and not second.mask(1).any()
    assert first.labels.dtype == np.uint8
    assert output().finish(Tracks(3)) == []
