"""A step of FEELVOS against the clip written out pair by pair, and what it trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.models import test_feelvos
from tests.training.moving_clips import make_clip, moving
from univs.data.clip_batches import collate_clips
from univs.losses import hardest_cross_entropy, triplet_loss
from univs.masks.aligned_corners import nearest_places
from univs.models.feelvos import FEELVOS
from univs.models.zoo import build_feelvos
from univs.training import embedding_step
from univs.training.embedding_step import Choice, EmbeddingLosses, EmbeddingStep


@pytest.fixture
def network() -> FEELVOS:
    torch.manual_seed(0)
    return build_feelvos(test_feelvos.numbers())


@pytest.fixture
def given() -> dict[str, Any]:
    """A clip with two targets and one with one, with unknown pixels that come and go."""
    first, second = moving(4), moving(4)
    first[1, :, 52:], second[2, 16:48, :24] = 255, 255
    return collate_clips([make_clip(first, (2, 1), "mask"), make_clip(second, (2,), "mask", seed=1)])


@pytest.fixture
def telling(network: FEELVOS) -> FEELVOS:
    """Of which every map moves the answers: embeddings lie apart, and the head listens."""
    with torch.no_grad():
        network.embedding.pointwise.weight *= 400
        first = network.head.layers[0]
        first.depthwise.weight[-3:] = torch.rand(3, 1, 3, 3)
        first.pointwise.weight[:, -3:] = 2 * torch.randn_like(first.pointwise.weight[:, -3:])
        network.head.predict.weight.normal_()
    return network


@pytest.fixture
def coloured(given: dict[str, Any]) -> dict[str, Any]:
    """The same labels on frames of which no pixel is like another."""
    return {**given, "frames": torch.randint(0, 256, given["frames"].shape, dtype=torch.uint8)}


def distance(pixel: Tensor, known: Tensor) -> Tensor:
    """0..1, to the nearest of some pixels."""
    if not len(known):
        return torch.tensor(1.0)
    return 1 - 2 / (1 + (pixel - known).square().sum(-1).min().exp())


def one_clip(network: FEELVOS, batch: dict[str, Any], b: int, places: list[int], kept: float) -> float:
    """The loss of clip b, written out."""
    frames, labels = batch["frames"][b, places], batch["labels"][b, places]
    ids = [0, *(int(i) for i in batch["targets"][b] if i)]
    classes = torch.zeros(labels.shape, dtype=torch.long)
    for number, object_id in enumerate(ids[1:], 1):
        classes[labels == object_id] = number
    classes[labels == 255] = 255
    grid = np.ix_(nearest_places(64, 16), nearest_places(64, 16))
    seen = [network.encode(network.images(frame[None])) for frame in frames]
    e = [one.embedding[0].permute(1, 2, 0) for one in seen]
    first, before = classes[0].numpy()[grid], classes[1].numpy()[grid]
    losses = []
    for t in range(2, len(places)):
        maps = torch.ones(len(ids), 3, 16, 16)
        for number in range(len(ids)):
            maps[number, 1] = torch.from_numpy(before == number).float()
            for y, x in np.ndindex(16, 16):
                maps[number, 0, y, x] = distance(e[t][y, x], e[0][torch.from_numpy(first == number)])
                near = np.zeros((16, 16), bool)
                near[max(0, y - network.window) : y + network.window + 1, max(0, x - network.window) : x + 5] = True
                maps[number, 2, y, x] = distance(e[t][y, x], e[t - 1][torch.from_numpy(near & (before == number))])
        logits = network.decode(seen[t].features, maps)
        large = F.interpolate(logits[None], (64, 64), mode="bilinear", align_corners=True)
        losses.append(float(hardest_cross_entropy(large, classes[t : t + 1], kept)))
        before = large[0].argmax(0).numpy()[grid]
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("answered", "kept"), [(1, 1.0), (2, 0.3)])
def test_a_batch_is_its_clips_written_out(
    telling: FEELVOS, coloured: dict[str, Any], answered: int, kept: float
) -> None:
    assert telling.window == 4
    batch = {**coloured, **{name: coloured[name][:, : answered + 2] for name in ("frames", "labels")}}
    found = EmbeddingStep(telling.train(), EmbeddingLosses(0.7), Choice(answered, None))(batch, kept)
    with torch.no_grad():
        want = [one_clip(telling, batch, b, list(range(answered + 2)), kept) for b in range(2)]
    assert found.keys() == {"cross_entropy"}
    assert float(found["cross_entropy"].detach()) == pytest.approx(0.7 * sum(want) / 2, rel=1e-3)


def test_the_frame_before_is_drawn(telling: FEELVOS, coloured: dict[str, Any]) -> None:
    with torch.no_grad():
        want = {round(one_clip(telling, coloured, 0, [0, p, p + 1], 1.0), 4) for p in (1, 2)}
        one = {**coloured, **{name: coloured[name][:1] for name in ("frames", "labels", "targets")}}
        step = EmbeddingStep(telling, EmbeddingLosses(), Choice(1, None))
        found = {round(float(step(one, 1.0)["cross_entropy"]), 4) for _ in range(12)}
    assert len(want) == 2 and all(min(abs(a - b) for b in found) < 2e-4 for a in want) and len(found) == 2


def test_references_are_thinned_at_random_object_by_object(network: FEELVOS) -> None:
    step = EmbeddingStep(network, EmbeddingLosses(), Choice(1, 5))
    rows, labels = torch.arange(40.0).view(20, 2), torch.tensor([0] * 12 + [2] * 4 + [255] * 4)
    draws = [step.references(rows, labels, 3) for _ in range(8)]
    assert [len(cells) for cells in draws[0]] == [5, 0, 4]
    firsts = {tuple((draw[0][:, 0] / 2).round().int().tolist()) for draw in draws}
    assert len(firsts) > 1 and all(len(set(one)) == 5 and max(one) < 24 for one in firsts)


def test_the_triplet_loss_is_of_what_is_known(network: FEELVOS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 cells of the reference, drawn anew, against all cells of every other frame."""
    torch.manual_seed(3)
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(embedding_step, "triplet_loss", lambda *of: asked.append(of) or triplet_loss(*of))
    step = EmbeddingStep(network, EmbeddingLosses(0.0, 1.0), Choice())
    embedding, labels = torch.rand(3, 5, 20, 20), torch.randint(0, 3, (3, 20, 20))
    labels[labels == 2] = 255
    loss = [float(step.triplet(embedding, labels)) for _ in range(2)]
    rows, numbers = embedding.flatten(2).transpose(1, 2), labels.flatten(1)
    for anchors, classes, others, other_classes, weight in asked:
        same = (rows[0][:, None] == anchors).all(-1)  # 400 256
        assert same.any(0).all() and same.any(1).sum() == 256 == len(anchors) and weight == 1
        assert torch.equal(classes, numbers[0][same.long().argmax(0)]) and not (classes == 255).any()
        assert torch.equal(others, rows[1:][numbers[1:] != 255])
        assert torch.equal(other_classes, numbers[1:][numbers[1:] != 255])
    assert not torch.equal(asked[0][0], asked[1][0]) and loss == [float(triplet_loss(*of)) for of in asked]
    for place in (slice(0, 1), slice(1, 3)):
        unknown = labels.clone()
        unknown[place] = 255
        assert float(step.triplet(embedding, unknown)) == 0


def test_losses_are_weighted_and_means_of_the_clips(network: FEELVOS, given: dict[str, Any]) -> None:
    """The second clip's, of one target, and the first one's; nothing is drawn where all cells are taken."""
    batch = {**given, **{name: given[name][:, :3] for name in ("frames", "labels")}}
    parts = [
        {name: value[[b]] for name, value in batch.items() if name in ("frames", "labels", "targets")} for b in (0, 1)
    ]
    one, other = EmbeddingLosses(1.0, 1.0), EmbeddingLosses(0.5, 3.0)
    with torch.no_grad():
        both = EmbeddingStep(network, other, Choice(1, None))(batch, 0.5)
        alone = [EmbeddingStep(network, one, Choice(1, None))(part, 0.5) for part in parts]
    for name, weight in (("cross_entropy", 0.5), ("triplet", 3.0)):
        want = weight * (float(alone[0][name]) + float(alone[1][name])) / 2
        assert float(both[name]) == pytest.approx(want, rel=1e-3) and want > 0
    assert EmbeddingLosses() == EmbeddingLosses(1.0, 0.0) and Choice() == Choice(1, 1024)


def test_every_part_is_trained_and_norms_are_still(network: FEELVOS, given: dict[str, Any]) -> None:
    before = {name: value.clone() for name, value in network.named_buffers()}
    losses = EmbeddingStep(network.train(), EmbeddingLosses(1.0, 0.5), Choice(2, 64))(given, 0.5)
    assert set(losses) == {"cross_entropy", "triplet"} and float(losses["triplet"].detach()) > 0
    torch.stack(list(losses.values())).sum().backward()
    grads = {name: p.grad for name, p in network.named_parameters()}
    assert not {n for n, g in grads.items() if g is None or not bool(g.isfinite().all()) or not bool(g.abs().sum() > 0)}
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_clips_of_which_nothing_is_known(network: FEELVOS) -> None:
    labels = moving(3)
    batch = collate_clips([make_clip(labels, (1,), "mask")])
    batch["labels"][:, 1:] = 255
    losses = EmbeddingStep(network, EmbeddingLosses(1.0, 1.0), Choice())(batch, 0.5)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert float(total.detach()) == 0
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


def test_a_clip_is_learnt_by_heart(network: FEELVOS) -> None:
    batch = collate_clips([make_clip(moving(4), (1, 2), "mask")])
    step = EmbeddingStep(network.train(), EmbeddingLosses(), Choice(2, 100))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        total = step(batch, 1.0)["cross_entropy"]
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        values.append(float(total.detach()))
    assert values[-1] < 0.3 * values[0], values
