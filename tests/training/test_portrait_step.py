"""Stage portrait: its losses beside loops, the net's own masks, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.test_portrait import net
from univs.configuration import compose
from univs.data.portrait_images import Portraits, collate_portraits
from univs.errors import UserError
from univs.models.own_files import save
from univs.models.portrait import PortraitNet
from univs.training.portrait_step import BAND, PortraitLosses, PortraitStep, near_edges, portraits, slopes
from univs.training.stages import check_run


def sample(size: int = 32) -> dict[str, Tensor]:
    torch.manual_seed(2)
    masks = torch.zeros(2, size, size, dtype=torch.uint8)
    masks[0, 8:24, 4:20] = masks[1, 10:, 12:28] = 1
    masks[0, :3] = 255
    frames = torch.randint(0, 90, (2, 3, size, size), dtype=torch.uint8)
    frames = torch.where(masks[:, None] == 1, 255 - frames, frames)
    return {"frames": frames, "masks": masks, "before": torch.zeros(2, 1, size, size, dtype=torch.uint8)}


class Says(PortraitNet):
    """Fixed log-odds, and what it was asked."""

    def __init__(self, logits: Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.logits, self.asked = logits, list[tuple[Tensor, Tensor]]()

    def forward(self, frames: Tensor, before: Tensor) -> Tensor:
        self.asked.append((frames, before))
        return self.logits


def test_losses_are_those_of_loops() -> None:
    batch = sample()
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 32, 32)
    found = PortraitStep(Says(logits), PortraitLosses(0.5, 2.0, 3.0), 0.0)(batch, 1.0)
    said, truth = logits[:, 0].double().sigmoid().numpy(), (batch["masks"] == 1).double().numpy()
    known = (batch["masks"] != 255).numpy()
    total = weights = 0.0
    for b, y, x in np.ndindex(2, 32, 32):
        if known[b, y, x]:
            around = truth[b, max(0, y - BAND) : y + BAND + 1, max(0, x - BAND) : x + BAND + 1]
            weight = 3.0 if around.max() != around.min() else 1.0
            total -= weight * np.log(said[b, y, x] if truth[b, y, x] else 1 - said[b, y, x])
            weights += weight
    assert float(found["cross_entropy"]) == pytest.approx(0.5 * total / weights, rel=1e-5)
    dice = [
        1 - (2 * (s * t * k).sum() + 1) / ((s * k).sum() + (t * k).sum() + 1)
        for s, t, k in zip(said, truth, known, strict=True)
    ]
    assert float(found["dice"]) == pytest.approx(2 * np.mean(dice), rel=1e-5)
    apart = counted = 0.0
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    for b in range(2):
        s, t = np.pad(said[b], 1, mode="edge"), np.pad(truth[b], 1, mode="edge")
        inside = np.pad(known[b], 1, constant_values=True)
        for y, x in np.ndindex(32, 32):
            if inside[y : y + 3, x : x + 3].all():
                window = s[y : y + 3, x : x + 3] - t[y : y + 3, x : x + 3]
                apart += (abs((window * sobel).sum()) + abs((window * sobel.T).sum())) / 2
                counted += 1
    assert float(found["edge"]) == pytest.approx(3 * apart / counted, rel=1e-4)
    assert set(PortraitStep(Says(logits), PortraitLosses(1, 0, 0), 0.0)(batch, 1.0)) == {"cross_entropy"}


def test_unknown_pixels_do_not_count() -> None:
    batch, logits = sample(), torch.randn(2, 1, 32, 32)
    changed = logits.clone()
    changed[0, 0, :2] += 5  # the slopes of the third row see the second
    before, after = (PortraitStep(Says(said), PortraitLosses(), 0.0)(batch, 1.0) for said in (logits, changed))
    assert all(float(before[name]) == float(after[name]) for name in before)


def test_of_nothing_known_nothing_is_learnt() -> None:
    batch, logits = sample(), torch.randn(2, 1, 32, 32).requires_grad_()
    batch["masks"][:] = 255
    found = PortraitStep(Says(logits), PortraitLosses(), 0.0)(batch, 1.0)
    torch.stack(list(found.values())).sum().backward()
    assert found.keys() == {"cross_entropy", "dice", "edge"} and float(found["cross_entropy"].detach()) == 0
    assert float(found["edge"].detach()) == 0 and logits.grad is not None and not logits.grad.any()


def test_the_mask_before_is_given_or_its_own() -> None:
    batch, logits = sample(), torch.full((2, 1, 32, 32), 2.0)
    batch["before"][0] = 51
    given = Says(logits)
    PortraitStep(given, PortraitLosses(), 0.0)(batch, 1.0)
    assert len(given.asked) == 1 and torch.allclose(given.asked[0][1][0], torch.tensor(0.2))
    assert torch.equal(given.asked[0][0], batch["frames"].float())
    own = Says(logits)
    PortraitStep(own, PortraitLosses(), 1.0)(batch, 1.0)
    (moved, first), (frames, second) = own.asked
    assert torch.allclose(second, logits.sigmoid()) and torch.equal(frames, batch["frames"].float())
    assert not torch.allclose(moved, frames) and (moved - frames).abs().mean() < 90, "moved a little"
    assert torch.allclose(first[0], torch.tensor(0.2), atol=1e-5), "the mask before moves along"


def test_all_processes_give_or_ask_for_the_mask_before_alike() -> None:
    """Each process has a seed of its own, and batch norms that wait for the others at every call."""

    def asked(seed: int) -> list[int]:
        calls = []
        for step in range(40):
            network = Says(torch.zeros(2, 1, 32, 32))
            torch.manual_seed(seed + step)
            PortraitStep(network, PortraitLosses(1, 0, 0), 0.5)({**sample(), "step": step}, 1.0)
            calls.append(len(network.asked))
        return calls

    assert asked(0) == asked(1000) and 10 < asked(0).count(2) < 30


def test_the_frame_before_is_turned_shifted_and_scaled_a_little() -> None:
    """Frames whose colours are their places: what is asked for them tells where its pixels come from."""
    torch.manual_seed(4)
    count, size = 200, 32
    down, across = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    frames = torch.stack([across, down, 0 * down]).expand(count, -1, -1, -1)
    logits = torch.zeros(count, 1, size, size, requires_grad=True)
    network, masks = Says(logits), torch.zeros(count, size, size, dtype=torch.uint8)
    batch = {"frames": frames, "masks": masks, "before": torch.zeros(count, 1, size, size, dtype=torch.uint8)}
    PortraitStep(network, PortraitLosses(), 1.0)(batch, 1.0)
    (moved, _), (_, own) = network.asked
    assert not own.requires_grad, "no gradient goes through what the net said before"
    right = (moved[:, :2, 16, 19] - moved[:, :2, 16, 12]) / 7
    below = (moved[:, :2, 19, 16] - moved[:, :2, 12, 16]) / 7
    turn, scale = torch.atan2(right[:, 1], right[:, 0]), right.norm(dim=1)
    assert torch.allclose(below, torch.stack([-right[:, 1], right[:, 0]], 1), atol=1e-4), "nothing is sheared"
    shift = moved[:, :2, 15:17, 15:17].mean((2, 3)) - 15.5
    for found, largest in ((turn, 0.1), (scale - 1, 0.06), (shift / size, 0.06)):
        assert 0.9 * largest < float(found.max()) <= largest + 1e-4
        assert -largest - 1e-4 <= float(found.min()) < -0.9 * largest


def test_losses_weigh_what_the_stage_says() -> None:
    assert PortraitLosses() == PortraitLosses(cross_entropy=1.0, dice=1.0, edge=0.1)
    assert PortraitLosses(**settings()["stage"]["losses"]) == PortraitLosses()


def test_edges_and_slopes_of_a_step() -> None:
    step = torch.zeros(1, 32, 32)
    step[..., 16:] = 1
    assert near_edges(step)[0, 0].nonzero().flatten().tolist() == list(range(11, 21))
    across, down = slopes(step)[0]
    assert float(across.max()) == 1 and across[5].nonzero().flatten().tolist() == [15, 16] and not down.any()
    assert torch.equal(slopes(step.transpose(1, 2))[0, 1], across.T)


def test_it_learns_a_batch() -> None:
    torch.manual_seed(0)
    network = net().train()
    step = PortraitStep(network, PortraitLosses(), 0.5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        total = torch.stack(list(step(sample(), 1.0).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.35 * losses[0]


def settings(*more: str) -> dict[str, Any]:
    common = ["stage=portrait", "model=portrait", "data=people", "data.root=nowhere", "out=x", "init=null"]
    return compose("train", [*common, *more])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model=tiny"], "stage portrait trains the portrait net, which tiny is not"),
        (["init=imagenet"], "init=imagenet is for networks with a backbone"),
        (["+stage.checkpointing=true"], "stage.checkpointing"),
    ],
)
def test_what_is_refused(more: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        portraits(settings(*more), torch.device("cpu"), 1)


def test_settings_reach_network_step_and_data(photos: Path, tmp_path: Path) -> None:
    started = net()
    save(started, tmp_path / "net.safetensors", started.config, half=False)
    more = [
        f"data.sources=[{{kind: photos, root: {photos}, weight: 1}}]", f"init={tmp_path / 'net.safetensors'}", "seed=7",
        "stage.size=96", "stage.own_masks=0.3", "stage.losses.edge=0.7", "stage.losses.dice=0.2",
    ]  # fmt: skip
    network, step, data, collate = portraits(settings(*more), torch.device("cpu"), 1)
    assert isinstance(data, Portraits) and (data.size, data.seed) == (96, 7) and collate is collate_portraits
    assert isinstance(step, PortraitStep) and step.network is network and step.own_masks == 0.3
    assert step.weights == PortraitLosses(cross_entropy=1.0, dice=0.2, edge=0.7)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in started.state_dict().items())


def test_its_settings_are_checked() -> None:
    check_run(settings())
    for wrong in ("stage.own_masks=2", "stage.size=100", "stage.losses.edge=-1", "stage.losses.points=3"):
        with pytest.raises(UserError):
            check_run(settings(wrong if "points" not in wrong else f"+{wrong}"))
