"""The bounded state of the entities against lists that grow with the video."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from univs.trackers.clip.tracks import Tracks

K, C, T, SIZE = 3, 4, 2, (2, 3)


class Growing:
    """Every slot and every frame of every entity, as the official code keeps them."""

    def __init__(self) -> None:
        self.scores: list[list[Tensor]] = []  # entity, slot
        self.embeddings: list[list[Tensor]] = []
        self.logits: list[dict[int, Tensor]] = []
        self.quality: list[float] = []
        self.slots = 0

    def begin(self) -> None:
        self.slots += 1
        for scores, embeddings in zip(self.scores, self.embeddings, strict=True):
            scores.append(scores[-1])
            embeddings.append(torch.stack(embeddings[-3:]).mean(0))

    def add(self, frames: range, scores: Tensor, embeddings: Tensor, logits: Tensor, quality: Tensor) -> None:
        for row in range(len(scores)):
            earlier = self.slots - 1
            self.scores.append([torch.zeros(K)] * earlier + [scores[row]])
            self.embeddings.append([torch.zeros(C)] * earlier + [embeddings[row].mean(0)])
            self.logits.append({index: logits[row, place] for place, index in enumerate(frames)})
            self.quality.append(float(quality[row]))

    def class_scores(self) -> Tensor:
        return torch.stack([torch.stack(scores).mean(0) for scores in self.scores])


def test_sums_say_what_growing_lists_say() -> None:
    torch.manual_seed(0)
    dice = random.Random(0)
    tracks, wanted = Tracks(5), Growing()
    for start in range(12):
        frames = range(start, start + T)
        tracks.begin(frames, SIZE)
        wanted.begin()
        rows = [row for row in range(len(tracks)) if dice.random() < 0.6]
        logits, quality = torch.randn(len(rows), T, *SIZE), torch.rand(len(rows))
        embeddings, scores = torch.randn(len(rows), T, C), torch.rand(len(rows), K)
        tracks.confirm(rows, frames, logits, quality)
        tracks.refresh_embeddings(rows, embeddings)
        tracks.refresh_scores(rows, scores)
        for place, row in enumerate(rows):
            for offset, index in enumerate(frames):
                known = wanted.logits[row].get(index, torch.zeros(SIZE))
                wanted.logits[row][index] = known + logits[place, offset]
            wanted.quality[row] += float(quality[place])
            newest = wanted.embeddings[row][-1]
            mean = embeddings[place].mean(0)
            wanted.embeddings[row][-1] = (newest + mean) / 2 if newest.any() else mean
            wanted.scores[row][-1] = (wanted.scores[row][-1] + scores[place]) / 2
        if start in (1, 4, 7):
            new = (torch.rand(2, K), torch.randn(2, T, C), torch.randn(2, T, *SIZE), torch.rand(2))
            tracks.add(frames, *new)
            wanted.add(frames, *new)
        if not len(tracks):
            continue
        assert torch.allclose(tracks.class_scores(), wanted.class_scores(), atol=1e-6)
        assert torch.allclose(tracks.quality, torch.tensor(wanted.quality))
        recent = torch.stack([torch.stack(slots[-5:]) for slots in wanted.embeddings])
        assert torch.allclose(tracks.embeddings, recent, atol=1e-6)
        for index in frames:
            sums = torch.stack([logits.get(index, torch.zeros(SIZE)) for logits in wanted.logits])
            assert torch.allclose(tracks.logits[index], sums, atol=1e-6)
        tracks.forget_frames(start)
        assert min(tracks.logits) == start
    assert tracks.ids == (1, 2, 3, 4, 5, 6)


def test_a_removed_entity_leaves_no_trace() -> None:
    torch.manual_seed(1)
    tracks = Tracks(3)
    frames = range(0, T)
    tracks.begin(frames, SIZE)
    new = (torch.rand(3, K), torch.randn(3, T, C), torch.randn(3, T, *SIZE), torch.rand(3))
    tracks.add(frames, *new)
    assert tracks.remove(2) == 1
    assert tracks.ids == (1, 3)
    assert torch.equal(tracks.class_scores(), new[0][[0, 2]])
    assert torch.equal(tracks.embeddings[:, -1], new[1].mean(1)[[0, 2]])
    assert torch.equal(tracks.quality, new[3][[0, 2]])
    assert torch.equal(tracks.logits[1], new[2][[0, 2], 1])
    with pytest.raises(KeyError):
        tracks.remove(2)
    tracks.add(frames, *(value[:1] for value in new))
    assert tracks.ids == (1, 3, 4)  # ids are never used again


def test_as_many_slots_are_kept_as_a_new_one_is_the_mean_of() -> None:
    tracks, looks = Tracks(1), torch.tensor([3.0, 6.0, 30.0])
    for start, look in enumerate(looks.tolist()):
        tracks.begin(range(start, start + 1), SIZE)
        if not start:
            tracks.add(range(1), torch.ones(1, K), torch.full((1, 1, C), look), torch.zeros(1, 1, *SIZE), torch.ones(1))
        else:
            tracks.embeddings[:, -1] = look
    tracks.begin(range(3, 4), SIZE)
    assert tracks.embeddings[0, :, 0].tolist() == [6, 30, 13]
