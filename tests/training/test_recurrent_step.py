"""A step of RVOS against the clip written out slot by slot, and what it trains."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.moving_clips import make_clip, moving
from univs.data.clip_batches import collate_clips
from univs.losses.counting import Counting
from univs.models.rvos import RVOS
from univs.models.rvos_decoder import SlotStates
from univs.models.zoo import build_network, numbers_of
from univs.training.recurrent_step import Previous, RecurrentLosses, RecurrentStep


def network(sees_masks: bool = True) -> RVOS:
    torch.manual_seed(0)
    small = {"blocks": [1, 1, 1, 1], "hidden": [16, 16, 8, 8], "recurrence": "spatiotemporal"}
    made = build_network({**numbers_of("rvos"), "rvos": {**small, "sees_masks": sees_masks}})
    assert isinstance(made, RVOS)
    return made


@pytest.fixture
def given() -> dict[str, Any]:
    """A clip with two targets and one with one, with unknown pixels that come and go."""
    first, second = moving(3), moving(3)
    first[1, :, 52:], second[2, 16:48, :24] = 255, 255
    return collate_clips([make_clip(first, (2, 1), "mask"), make_clip(second, (2,), "mask", seed=1)])


def share(p: Tensor, g: Tensor) -> Tensor:
    return 1 - (p * g).sum() / ((p + g - p * g).sum() + 1e-6)


def written_out(model: RVOS, batch: dict[str, Any], previous: Previous | None) -> list[float]:
    """The loss of each frame, of a model in eval mode, clip by clip."""
    totals, count = [0.0] * 3, 0
    for frames, labels, targets in zip(batch["frames"], batch["labels"], batch["targets"], strict=True):
        ids = [int(n) for n in targets if n]
        count += len(ids)
        truth = [torch.stack([(labels[t] == n).float() for n in ids]) for t in range(3)]
        hidden, seen = None, truth[0]
        for t in range(3):
            skips = model.encode(model.images(frames[t][None]))
            logits, states = model.decode(skips, seen[None] if model.sees_masks else None, hidden, len(ids))
            hidden = states.hidden
            own = model.masks(logits, (64, 64))[0].sigmoid()
            told = own * (labels[t] != 255)
            if t == 0 and previous is None:
                order = min(
                    permutations(range(len(ids))),
                    key=lambda o: sum(float(share(told[s], truth[0][m])) for s, m in enumerate(o)),
                )
                truth = [each[list(order)] for each in truth]
            totals[t] += sum(float(share(told[n], truth[t][n])) for n in range(len(ids)))
            seen = truth[t] if previous == "truth" else own
    return [total / count for total in totals]


@pytest.mark.parametrize("previous", ["truth", "own", None])
def test_a_batch_is_its_clips_written_out(given: dict[str, Any], previous: Previous | None) -> None:
    model = network(previous is not None).eval()
    step = RecurrentStep(model, RecurrentLosses(0.7), previous or "own")
    with torch.no_grad():
        want = written_out(model, given, previous)
        found = [float(losses["soft_iou"]) for losses in step.frame_losses(given)]
        assert found == pytest.approx([0.7 * value for value in want], rel=1e-4)
        assert float(step(given, 1.0)["soft_iou"]) == pytest.approx(0.7 * sum(want), rel=1e-4)


@pytest.mark.parametrize("sees_masks", [True, False])
def test_gradients_go_back_through_the_hidden_states_of_the_clip(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, sees_masks: bool
) -> None:
    model, before, after = network(sees_masks).eval(), [], []
    decode = model.decode

    def watched(skips: Any, masks: Any, hidden: Any, slots: int) -> Any:
        before.append(hidden)
        logits, states = decode(skips, masks, hidden, slots)
        after.append(states.hidden)
        return logits, states

    monkeypatch.setattr(model, "decode", watched)
    RecurrentStep(model, RecurrentLosses()).frame_losses(given)
    assert before[0] is None
    for t in (1, 2):
        assert all(one is other and one.requires_grad for one, other in zip(before[t], after[t - 1], strict=True))


def test_every_part_is_trained_and_norms_take_the_statistics_of_the_batch(given: dict[str, Any]) -> None:
    model = network().train()
    losses = RecurrentStep(model, RecurrentLosses(1.0, 0.5))(given, 1.0)
    assert set(losses) == {"soft_iou", "balanced_cross_entropy"}
    torch.stack(list(losses.values())).sum().backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)}
    assert not idle
    assert int(model.trunk.bn1.num_batches_tracked) == 3, "one batch for each frame"


def test_no_gradient_goes_through_the_mask_that_is_fed_back(given: dict[str, Any]) -> None:
    model = network().eval()
    seen: list[Tensor | None] = []
    decode = model.decode

    def watched(skips: Any, masks: Tensor | None, *others: Any) -> Any:
        seen.append(masks)
        return decode(skips, masks, *others)

    model.decode = watched  # type: ignore[method-assign]
    RecurrentStep(model, RecurrentLosses())(given, 1.0)
    assert len(seen) == 3 and all(masks is not None and not masks.requires_grad for masks in seen)
    assert seen[1] is not None and 0 < float(seen[1].min()) < float(seen[1].max()) < 1, "its own answer"
    seen.clear()
    RecurrentStep(model, RecurrentLosses(), "truth")(given, 1.0)
    assert all(masks is not None and set(masks.unique().tolist()) <= {0.0, 1.0} for masks in seen)


@pytest.mark.parametrize("sees_masks", [True, False])
def test_a_clip_is_learnt_by_heart(sees_masks: bool) -> None:
    # two objects without masks first become one: the second slot then learns slowly
    targets = (1, 2) if sees_masks else (1,)
    batch = collate_clips([make_clip(moving(2), targets, "mask"), make_clip(moving(2), targets, "mask", seed=1)])
    model = network(sees_masks).train()
    step = RecurrentStep(model, RecurrentLosses())
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        total = step(batch, 1.0)["soft_iou"]
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        values.append(float(total.detach()))
    assert values[-1] < 0.5 * values[0]


class Told(RVOS):
    """Says what it was told to, B N S S log-odds for each frame, and keeps the masks that it sees."""

    def __init__(self, said: Tensor, sees_masks: bool) -> None:
        torch.nn.Module.__init__(self)
        self.said, self.sees_masks, self.seen = list(said), sees_masks, list[Tensor | None]()

    def images(self, frames: Tensor) -> Tensor:
        return frames

    def encode(self, images: Tensor) -> list[Tensor]:
        return [images]

    def decode(self, skips: Any, masks: Tensor | None, before: Any, slots: int = 10) -> tuple[Tensor, SlotStates]:
        self.seen.append(masks)
        return self.said[len(self.seen) - 1][:, :slots], SlotStates((), ())


class TwoAlike(Counting):
    """As if another process had as many objects, and half of its losses were ours."""

    def total(self, count: Tensor) -> Tensor:
        return 2 * count


def columns(width: int, first: int, last: int) -> Tensor:
    """Log-odds of 12 rows that are sure of some columns."""
    return torch.full((12, width), -50.0).index_fill(1, torch.arange(first, last), 50.0)


def test_slots_keep_the_objects_that_they_find_on_the_known_pixels_of_the_first_frame() -> None:
    """One slot says object 1 and all that is unknown, the other some of both: by all pixels they would be exchanged."""
    labels = torch.zeros(1, 2, 12, 32, dtype=torch.uint8)
    labels[:, :, :, 0:4], labels[:, :, :, 4:8] = 1, 2
    labels[:, 0, :, 12:] = 255
    batch = {"frames": torch.zeros(1, 2, 3, 12, 32), "labels": labels, "targets": torch.tensor([[1, 2]])}
    first = columns(32, 0, 4).maximum(columns(32, 12, 32)), columns(32, 1, 6)
    later = columns(32, 0, 4), columns(32, 4, 8)
    for swapped in (False, True):
        said = torch.stack([torch.stack(slots[::-1] if swapped else slots)[None] for slots in (first, later)])
        found = RecurrentStep(Told(said, False), RecurrentLosses(1.0, 0.25)).frame_losses(batch)
        assert float(found[0]["soft_iou"]) == pytest.approx((0 + 1 - 2 / 7) / 2, abs=1e-5)
        assert float(found[1]["soft_iou"]) == pytest.approx(0, abs=1e-5)
    exchanged = torch.stack([torch.stack(slots)[None] for slots in (first, later[::-1])])
    found = RecurrentStep(Told(exchanged, False), RecurrentLosses(), counting=TwoAlike()).frame_losses(batch)
    assert float(found[1]["soft_iou"]) == pytest.approx(0.5, abs=1e-5), "slots that exchange their objects are wrong"
    assert float(found[0]["soft_iou"]) == pytest.approx((1 - 2 / 7) / 4, abs=1e-5), "of the objects of both"


def test_cross_entropy_counts_known_pixels_and_what_is_seen_is_all_that_was_said() -> None:
    labels = torch.zeros(1, 2, 12, 32, dtype=torch.uint8)
    labels[..., :8], labels[..., 12:] = 1, 255
    batch = {"frames": torch.zeros(1, 2, 3, 12, 32), "labels": labels, "targets": torch.tensor([[1]])}
    said = torch.linspace(-3, 3, 32).expand(2, 1, 1, 12, 32)
    model = Told(said, True)
    for counting, share in ((Counting(), 1), (TwoAlike(), 2)):
        model.seen.clear()
        step = RecurrentStep(model, RecurrentLosses(0.5, 0.25), counting=counting)
        found = step.frame_losses(batch)[1]
        p = said[1, 0, 0, 0].double().sigmoid()
        each = torch.cat([-0.75 * p[:8].log(), -0.25 * (1 - p[8:12]).log()])
        assert float(found["balanced_cross_entropy"]) == pytest.approx(0.25 * float(each.sum()) / 32 / share, rel=1e-4)
        assert model.seen[1] is not None and torch.equal(model.seen[1], said[0].sigmoid()), (
            "where labels say nothing too"
        )
    assert set(RecurrentStep(Told(said, True), RecurrentLosses()).frame_losses(batch)[0]) == {"soft_iou"}
