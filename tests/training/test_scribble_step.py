"""Stage scribble_to_mask: its losses by hand, what it starts from, and a short run by the command."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from univs.errors import UserError
from univs.models.own_files import save
from univs.models.segmenter_files import build_segmenter, load_segmenter
from univs.training import run, scribble_step
from univs.training.scribble_step import ScribbleLosses, ScribbleStep, load_imagenet, start, with_common_norms

LIGHT = {"name": "light", "kind": "scribble_to_mask_light", "scribble_to_mask_light": {"width": 16, "rates": [2]}}


class Constant(nn.Module):
    """Answers with the logits it was made with, and keeps what it was shown."""

    pixel_mean, pixel_std = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.seen = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return self.logits


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "frames": torch.randint(0, 256, (2, 3, 2, 3), generator=generator).to(torch.uint8),
        "masks": torch.tensor([[[0, 1, 1], [255, 0, 1]], [[1, 0, 0], [0, 0, 0]]]).to(torch.uint8),
        "maps": torch.randint(0, 2, (2, 3, 2, 3), generator=generator).to(torch.uint8),
    }


def test_losses_by_hand() -> None:
    logits = torch.tensor([[[0.5, -1.0, 2.0], [3.0, 0.0, 1.0]], [[-0.5, 1.5, -2.0], [0.1, -30.0, 30.0]]])[:, None]
    network, given = Constant(logits), batch()
    losses = ScribbleStep(network, ScribbleLosses(2.0, 0.5))(given, 1.0)  # type: ignore[arg-type]
    every = []
    losses = {name: value.detach() for name, value in losses.items()}
    for logit, label in zip(logits.flatten().tolist(), given["masks"].flatten().tolist(), strict=True):
        sign = {1: 1, 0: -1}.get(label, 0)
        held = max(-16.0, min(16.0, logit))
        # odds of p against 1 - p, each held by soft aggregation: softmax of (-l, l)
        every.append(math.log1p(math.exp(-2 * sign * held)) if sign else 0.0)
    assert float(losses["cross_entropy"]) == pytest.approx(2 * sum(every) / 12, rel=1e-5)
    hardest = sorted(every, reverse=True)[:3]
    kept = ScribbleStep(network, ScribbleLosses(1.0, 0.0))(given, 0.25)  # type: ignore[arg-type]
    assert kept.keys() == {"cross_entropy"}
    assert float(kept["cross_entropy"].detach()) == pytest.approx(sum(hardest) / 3, rel=1e-5)
    dice = []
    for image, masks in zip(logits[:, 0], given["masks"], strict=True):
        p, known, truth = image.sigmoid(), masks != 255, (masks == 1).float()
        shared = (p * known * truth).sum()
        dice.append(1 - (2 * shared + 1) / ((p * known).sum() + truth.sum() + 1))
    assert float(losses["dice"]) == pytest.approx(0.5 * float(torch.stack(dice).mean()), rel=1e-5)


def test_the_network_is_shown_the_normalised_frame_and_the_maps() -> None:
    network, given = Constant(torch.zeros(2, 1, 2, 3)), batch()
    ScribbleStep(network, ScribbleLosses())(given, 1.0)  # type: ignore[arg-type]
    for channel, (mean, std) in enumerate(zip(Constant.pixel_mean, Constant.pixel_std, strict=True)):
        assert torch.allclose(network.seen[:, channel], (given["frames"][:, channel].float() - mean) / std)
    assert torch.equal(network.seen[:, 3:], given["maps"].float())


def test_starting_weights(tmp_path: Path) -> None:
    made = build_segmenter(LIGHT)
    save(made, tmp_path / "light.safetensors", LIGHT, half=False)
    begun = start(LIGHT, str(tmp_path / "light.safetensors"))
    assert all(torch.equal(value, made.state_dict()[name]) for name, value in begun.state_dict().items())
    wider = {**LIGHT, "scribble_to_mask_light": {"width": 24}}
    with pytest.raises(UserError, match="of another network than light"):
        start(wider, str(tmp_path / "light.safetensors"))
    with pytest.raises(UserError, match="takes no scribbles"):
        start({"name": "fbrs", "kind": "fbrs"}, None)
    with pytest.raises(UserError, match="init=imagenet is for scribble_to_mask_light"):
        start({"name": "s2m", "kind": "scribble_to_mask"}, "imagenet")


def test_official_networks_start_orthogonal() -> None:
    torch.manual_seed(0)
    network: Any = start({"name": "s2m", "kind": "scribble_to_mask"}, None)
    rows = network.backbone.conv1.weight[:, 3:].detach().reshape(64, -1)
    assert torch.allclose(rows @ rows.T, torch.eye(64), atol=1e-5)
    last = network.classifier.classifier[-1]
    assert float(last.weight.detach().norm()) == pytest.approx(1, abs=1e-5) and not last.bias.any()


def test_imagenet_gives_all_but_the_channels_of_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = build_segmenter(LIGHT)
    body = network.backbone.body
    given = {name: torch.full_like(value, 0.5) for name, value in body.state_dict().items()}
    given["conv_stem.weight"] = torch.full((32, 3, 3, 3), 0.25)
    given["classifier.weight"] = torch.zeros(10, 10)
    monkeypatch.setattr(scribble_step, "lite0_imagenet", lambda: given)
    maps = body.conv_stem.weight[:, 3:].clone()
    load_imagenet(network)
    assert (body.conv_stem.weight[:, :3] == 0.25).all() and torch.equal(body.conv_stem.weight[:, 3:], maps)
    assert (body.bn1.weight == 0.5).all()


def test_norms_of_several_processes() -> None:
    light, official = build_segmenter(LIGHT), build_segmenter({"kind": "scribble_to_mask"})
    for network in (light, official):
        before = network.state_dict()
        made = with_common_norms(network)  # type: ignore[arg-type]
        after = made.state_dict()
        assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
        kinds = {
            name.split(".")[0]: type(module)
            for name, module in made.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
        }
        common = {name for name, kind in kinds.items() if kind is nn.SyncBatchNorm}
        assert common == ({"pooling", "steps"} if network is light else {"backbone", "classifier"})


def test_a_batch_is_learnt() -> None:
    torch.manual_seed(0)
    network: Any = build_segmenter(LIGHT)
    y, x = np.mgrid[:64, :64]
    masks = np.stack([(y - 32) ** 2 + (x - 24 - 16 * k) ** 2 < 250 for k in (0, 1)])
    maps = np.zeros((2, 3, 64, 64), np.uint8)
    maps[0, 1, 30:34, 20:28] = maps[1, 1, 30:34, 36:44] = 1
    given = {
        "frames": torch.full((2, 3, 64, 64), 120, dtype=torch.uint8),
        "masks": torch.from_numpy(masks.astype(np.uint8)),
        "maps": torch.from_numpy(maps),
    }
    step, optimizer = (
        ScribbleStep(network.train(), ScribbleLosses(1.0, 0.5)),
        torch.optim.AdamW(network.parameters(), 3e-3),
    )
    found = []
    for _ in range(15):
        total = torch.stack(list(step(given, 1.0).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found.append(float(total.detach()))
    assert math.log(2) < found[0] < math.log(2) + 0.5  # undecided at first
    assert min(found[-3:]) < 0.6 * found[0]


def overrides(photos: Path, out: Path, *more: str) -> list[str]:
    return [
        "model=scribble_to_mask_light",
        "stage=scribble_to_mask_light",
        "model.scribble_to_mask_light.width=16",
        f"data.sources=[{{kind: photos, root: {photos}}}]",
        f"data.root={photos}",
        "init=null",
        "device=cpu",
        f"out={out}",
        "stage.size=64",
        "stage.batch_size=2",
        "stage.workers=0",
        "stage.minutes=null",
        "stage.steps=3",
        "stage.precision=float32",
        *more,
    ]


def test_a_short_run(photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.main(overrides(photo_folder, tmp_path / "out"))
    path = tmp_path / "out" / "scribble_to_mask_light.safetensors"
    assert "averaged weights after 3 steps" in capsys.readouterr().out
    network = load_segmenter(path)
    assert torch.isfinite(network(torch.rand(1, 6, 64, 64))).all()
    run.main(overrides(photo_folder, tmp_path / "plan", "dry_run=true"))
    assert "cross" not in capsys.readouterr().err and not (tmp_path / "plan").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("stage.first_rounds=2", "stage.first_rounds"),
        ("stage.losses.cross_entropy=-1", "stage.losses.cross_entropy"),
        ("+stage.losses.focal=1", "focal"),
        ("+stage.checkpointing=true", "batch norms of this stage learn"),
        ("stage.size=70", "stage.size"),
    ],
)
def test_rude_settings(more: str, message: str, photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        run.main(overrides(photo_folder, tmp_path / "out", more))
