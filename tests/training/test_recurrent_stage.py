"""The stages of RVOS: models and weights they start from, settings, a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.configuration import compose
from univs.errors import UserError
from univs.models.own_files import save
from univs.models.rvos import RVOS
from univs.models.zoo import load
from univs.training import run
from univs.training.recurrent_stage import build_rvos
from univs.training.stages import check_run
from univs.training.trainer import BACKBONES

SMALL = ["model.rvos.blocks=[1,1,1,1]", "model.rvos.hidden=[8,8,8,8]"]


def given(stage: str = "rvos_one_shot", *more: str) -> dict[str, Any]:
    model = "rvos_zero_shot" if stage == "rvos_zero_shot" else "rvos"
    return compose("train", [f"model={model}", f"stage={stage}", "data.root=-", *SMALL, *more])


@pytest.mark.parametrize(
    ("stage", "previous"), [("rvos_one_shot_truth", "truth"), ("rvos_one_shot", "own"), ("rvos_zero_shot", None)]
)
def test_the_stages_that_ship_can_be_run(stage: str, previous: str | None) -> None:
    settings = given(stage)
    check_run(settings)
    assert settings["stage"]["previous"] == previous and settings["stage"]["frames"] == 5
    build_rvos({**settings, "init": None})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["stage.previous=last"], "stage.previous must be"),
        (["stage.losses.soft_iou=0"], "nothing is learnt"),
        (["+stage.gap_growth=null"], "unknown setting stage.gap_growth"),
        (["data.sources=[]"], "data.sources must be given"),
    ],
)
def test_wrong_settings_are_named(more: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_run(given("rvos_one_shot", *more))


def test_models_and_weights_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train RVOS, which stm_light is not: model=rvos, rvos_zero_shot are"):
        build_rvos(compose("train", ["model=stm_light", "stage=rvos_one_shot", "data.root=-"]))
    with pytest.raises(UserError, match="for the model rvos_zero_shot it must be null, as slots see no masks"):
        build_rvos(compose("train", ["model=rvos_zero_shot", "stage=rvos_one_shot", "data.root=-", *SMALL]))
    with pytest.raises(UserError, match="for the model rvos it must be truth or own, as slots see masks"):
        build_rvos(given("rvos_one_shot", "stage.previous=null"))
    with pytest.raises(UserError, match="checkpointing: the batch norms of this stage learn, and would twice"):
        build_rvos(given("rvos_one_shot", "init=null", "+stage.checkpointing=true"))
    with pytest.raises(UserError, match="RVOS takes init=null, or init=FILE"):
        build_rvos(given())
    deep = {"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1), "layer4.9.conv1.weight": torch.zeros(1)}
    torch.save(deep, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match="is a ResNet of another depth: conv1.weight does not fit"):
        build_rvos({**given(), "init": str(tmp_path / "resnet.pth")})


def test_initial_weights(tmp_path: Path) -> None:
    settings = given()
    first = build_rvos({**settings, "init": None})
    save(first, tmp_path / "first.safetensors", settings["model"], half=False)
    second = build_rvos({**settings, "init": str(tmp_path / "first.safetensors")})
    assert all(torch.equal(second.state_dict()[name], value) for name, value in first.state_dict().items())
    (tmp_path / "released").mkdir()
    for name in ("encoder.pt", "decoder.pt"):
        torch.save(
            {"sk5.weight": torch.zeros(1), "clstm_list.0.Gates.weight": torch.zeros(1)}, tmp_path / "released" / name
        )
    with pytest.raises(UserError, match="official weights do not fit"):  # both files of the folder were read
        build_rvos({**settings, "init": str(tmp_path / "released")})


def plain_resnet(trunk: torch.nn.Module) -> dict[str, Tensor]:
    """Tensors of a trunk as torchvision has them, with other numbers; old files do not count steps."""
    plain = {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    for name, value in trunk.state_dict().items():
        parts = name.split(".")
        if parts[0] == "stages":
            parts[:2] = [f"layer{int(parts[1]) + 1}"]
        if parts[-1] != "num_batches_tracked":
            plain[".".join(parts)] = value + torch.rand_like(value)
    return plain


def test_weights_of_a_resnet_alone_are_those_of_the_trunk(tmp_path: Path) -> None:
    settings, path = {**given(), "init": str(tmp_path / "resnet.pth")}, tmp_path / "resnet.pth"
    first = build_rvos({**settings, "init": None})
    plain = plain_resnet(first.trunk)
    torch.save(plain, path)
    started = build_rvos(settings)
    assert plain_resnet(started.trunk).keys() == plain.keys()
    for name, value in started.trunk.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            official = re.sub(r"^stages\.(\d)", lambda found: f"layer{int(found[1]) + 1}", name)
            assert torch.equal(value, plain[official]), name
    assert not torch.equal(started.skips[0][0].weight, first.skips[0][0].weight)  # type: ignore[index]
    changes: tuple[tuple[str, Tensor], ...] = (
        ("layer1.1.conv1.weight", torch.zeros(64, 256, 1, 1)),  # a deeper one has all that is asked for, and more
        ("layer4.0.conv2.weight", torch.zeros(512, 256, 3, 3)),
    )
    for name, value in changes:
        torch.save({**plain, name: value}, path)
        ours = re.sub(r"^layer(\d)", lambda found: f"stages.{int(found[1]) - 1}", name)
        with pytest.raises(
            UserError, match=f"is a ResNet of another depth: {ours} does not fit; RVOS has a ResNet-101"
        ):
            build_rvos(settings)


def test_the_resnet_has_a_rate_of_its_own() -> None:
    model = build_rvos({**given(), "init": None})
    slow = {name.split(".")[0] for name, _ in model.named_parameters() if name.startswith(BACKBONES)}
    assert slow == {"trunk"}


def test_a_run_trains_its_clips_and_writes_weights(tmp_path: Path) -> None:
    small = [
        "init=null", "device=cpu", "stage.steps=2", "stage.size=64", "stage.batch_size=2", "stage.frames=2",
        "stage.workers=0", "stage.probabilities={photo: 0, video: 0, synth: 1}", "data.root=-", "data.sources=[]",
    ]  # fmt: skip
    out = tmp_path / "truth"
    run.main(["model=rvos", "stage=rvos_one_shot_truth", f"out={out}", *SMALL, *small])
    trained = load(out / "rvos.safetensors")
    assert isinstance(trained, RVOS) and trained.sees_masks
    again = [entry for entry in small if entry != "init=null"]
    second = ["model=rvos", "stage=rvos_one_shot", f"out={tmp_path / 'own'}", f"init={out / 'rvos.safetensors'}"]
    run.main([*second, *SMALL, *again])
    assert (tmp_path / "own" / "rvos.safetensors").is_file()
