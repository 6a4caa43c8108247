"""A step of a space-time memory against the clip written out with what inference calls, and what it trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.losses.shared_counts import mean_gap, together
from tests.training.moving_clips import make_clip, moving
from univs.data.clip_batches import collate_clips
from univs.losses.counting import Counting
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.zoo import build_space_time
from univs.training.propagation_step import PropagationLosses, PropagationStep


@pytest.fixture
def network() -> SpaceTimeMemory:
    torch.manual_seed(0)
    memory = {
        "trunk": "tf_efficientnet_lite0", "key_dim": 8, "value_dim": 12, "memory_bias": False, "clamp_others": False,
        "black_padding": False, "decoder": {"widths": [16, 12, 8], "narrowed": False, "logits": 2},
    }  # fmt: skip
    numbers = {"name": "small", "kind": "space_time_memory", "space_time_memory": memory}
    return build_space_time({**numbers, "pixel_mean": [127.0] * 3, "pixel_std": [60.0] * 3})


@pytest.fixture
def given() -> dict[str, Any]:
    """A clip with two targets and one with one, with unknown pixels that come and go."""
    first, second = moving(3), moving(3)
    first[1, :, 52:], second[2, 16:48, :24] = 255, 255
    return collate_clips([make_clip(first, (2, 1), "mask"), make_clip(second, (2,), "mask", seed=1)])


def one_clip(network: SpaceTimeMemory, batch: dict[str, Any], b: int, kept: float) -> dict[str, Tensor]:
    """Losses of clip b, written out."""
    frames, labels = batch["frames"][b], batch["labels"][b]
    ids = [int(i) for i in batch["targets"][b] if i]
    images = [network.images(frame[None]) for frame in frames]
    truth = [torch.stack([(labels[t] == i).float() for i in ids]) for t in range(len(frames))]
    memory = [network.encode_memory(images[0], truth[0])]
    found: dict[str, list[Tensor]] = {"cross_entropy": [], "dice": [], "correspondence": []}
    for t in range(1, len(frames)):
        query = network.encode_query(images[t])
        logits, places = [], []
        sure = [
            (labels[u] != 255).view(4, 16, 4, 16).permute(0, 2, 1, 3).flatten(2).all(2).flatten() for u in range(t + 1)
        ]
        for n in range(len(ids)):
            keys, values = (torch.cat([getattr(e[n], part) for e in memory]) for part in ("key", "value"))
            weights = (query.key[0].flatten(1).T @ keys.T / keys.shape[1] ** 0.5).softmax(1)
            before = torch.cat(sure[:t]).float()
            small = [F.avg_pool2d(truth[u][n, None], 16).flatten() for u in range(t + 1)]
            share = weights @ before
            q = (weights @ (torch.cat(small[:t]) * before) / share.clamp_min(0.5)).clamp(1e-4, 1 - 1e-4)
            places.append((F.binary_cross_entropy(q, small[t], reduction="none"), share))
            read = (weights @ values).T.unflatten(1, query.key.shape[-2:])
            logits.append(network.decode(query, read[None])[0])
        compared = sure[t] & torch.stack([share >= 0.5 for _, share in places]).all(0)
        found["correspondence"].append(torch.stack([loss[compared].mean() for loss, _ in places]).mean())
        p = torch.stack(logits).double().sigmoid()
        odds = torch.cat([(1 - p).prod(0, keepdim=True), p])
        odds = odds / (1 - odds)
        joint = odds / odds.sum(0)
        known = labels[t] != 255
        number = torch.zeros(labels[t].shape, dtype=torch.long)
        for n, i in enumerate(ids, 1):
            number[labels[t] == i] = n
        surprise = (-joint.gather(0, number[None])[0].log() * known).flatten().sort(descending=True).values
        found["cross_entropy"].append(surprise[: int(kept * len(surprise))].mean())
        shares = []
        for n in range(len(ids)):
            q, g = joint[n + 1] * known, truth[t][n]
            shares.append(1 - (2 * (q * g).sum() + 1) / (q.sum() + g.sum() + 1))
        found["dice"].append(torch.stack(shares).mean())
        memory.append(network.encode_memory(images[t], joint[1:].float()))
    return {name: torch.stack(each).mean() for name, each in found.items()}


@pytest.mark.parametrize("kept", [1.0, 0.3])
def test_a_batch_is_its_clips_written_out(network: SpaceTimeMemory, given: dict[str, Any], kept: float) -> None:
    found = PropagationStep(network, PropagationLosses(0.7, 0.4, 0.3))(given, kept)
    with torch.no_grad():  # reading in chunks is for inference
        clips = [one_clip(network, given, b, kept) for b in range(2)]
    want = {
        "cross_entropy": 0.7 * (clips[0]["cross_entropy"] + clips[1]["cross_entropy"]) / 2,
        "dice": 0.4 * (2 * clips[0]["dice"] + clips[1]["dice"]) / 3,  # a mean over objects
        "correspondence": 0.3 * (2 * clips[0]["correspondence"] + clips[1]["correspondence"]) / 3,
    }
    assert found.keys() == want.keys()
    for name, value in want.items():
        assert float(found[name].detach()) == pytest.approx(float(value), rel=1e-3), name


def test_two_processes_count_as_one_with_the_clips_of_both(network: SpaceTimeMemory, given: dict[str, Any]) -> None:
    """Of two objects and of one."""

    def losses(part: slice, counting: Counting) -> dict[str, Tensor]:
        of_part = {name: given[name][part] for name in ("frames", "labels", "targets")}
        with torch.no_grad():
            return PropagationStep(network, PropagationLosses(0.7, 0.4, 0.3), counting)(of_part, 0.5)

    whole = losses(slice(0, 2), Counting())
    halves = together(lambda rank, counting: losses(slice(rank, rank + 1), counting))
    for name, value in whole.items():
        assert mean_gap((halves[0][name], halves[1][name]), value) < 1e-4, name


def test_every_part_is_trained(network: SpaceTimeMemory, given: dict[str, Any]) -> None:
    losses = PropagationStep(network, PropagationLosses())(given, 0.5)
    assert set(losses) == {"cross_entropy"}
    losses["cross_entropy"].backward()
    idle = {name for name, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)}
    assert not idle


def test_a_clip_is_learnt_by_heart(network: SpaceTimeMemory) -> None:
    batch = collate_clips([make_clip(moving(3), (1, 2), "mask")])
    step = PropagationStep(network, PropagationLosses(1.0, 1.0))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    values = []
    for _ in range(25):
        optimizer.zero_grad()
        total = torch.stack(list(step(batch, 1.0).values())).sum()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        values.append(float(total.detach()))
    assert values[-1] < 0.35 * values[0]


def test_objects_that_swap_places_swap_their_answers(network: SpaceTimeMemory, given: dict[str, Any]) -> None:
    step = PropagationStep(network, PropagationLosses(1.0, 1.0))
    with torch.no_grad():
        one = step(given, 1.0)
        given["targets"] = torch.tensor([[1, 2], [2, 0]])
        other = step(given, 1.0)
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-4)
