"""The stages of space-time memories: models and weights they start from, settings, clips that grow apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from univs.configuration import compose
from univs.errors import UserError
from univs.models.own_files import save
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.zoo import build_network, load
from univs.training import propagation_stage, run
from univs.training.propagation_stage import build_space_time, gap_growth
from univs.training.stages import check_run
from univs.training.trainer import BACKBONES

STAGES = ("propagation_photos", "propagation_synth", "propagation_videos", "stm_photos", "stm_videos")


def given(stage: str = "propagation_videos", *more: str) -> dict[str, Any]:
    return compose("train", ["model=stm_light", f"stage={stage}", "data.root=-", *more])


@pytest.mark.parametrize("stage", STAGES)
def test_the_stages_that_ship_can_be_run(stage: str) -> None:
    check_run(given(stage))
    growth = gap_growth(given(stage)["stage"], 2)
    assert (growth is not None) == stage.endswith("videos")
    if growth is not None:
        assert growth.clips == given(stage)["stage"]["steps"] * 4 * 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["stage.gap_growth=[[0.1, 2]]"], "ascend from 0"),
        (["stage.gap_growth=[]"], "ascend from 0"),
        (["stage.gap_growth=[[0, 1], [0.5, 2], [0.5, 3]]"], "ascend from 0"),
        (["stage.gap_growth=[[0, 1, 2]]"], "ascend from 0"),
        (["stage.gap_growth=[[0, 1], [1, 2]]"], "ascend from 0"),
        (["stage.gap_growth=2"], "stage.gap_growth must be"),
        (["stage.steps=null", "stage.minutes=3"], "stage.gap_growth needs a run in steps, or null"),
        (
            ["stage.probabilities={photo: 0, video: 0, synth: 0}"],
            "stage.probabilities must be above 0 in at least one entry",
        ),
        ([f"stage.losses.{n}=0" for n in ("cross_entropy", "dice", "correspondence")], "nothing is learnt"),
        (["+stage.losses.prompt=1"], "unknown setting stage.losses.prompt"),
        (["+stage.prompts={}"], "unknown setting stage.prompts"),
        (["data.sources=[]"], "data.sources must be given"),
    ],
)
def test_wrong_settings_are_named(more: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        check_run(given("propagation_videos", *more))


def test_synthetic_clips_need_no_sources() -> None:
    check_run(given("propagation_synth", "data.sources=[]"))


def test_initial_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = load("tiny").backbone.state_dict()
    monkeypatch.setattr(propagation_stage, "lite0_imagenet", lambda: {k[5:]: v + 1 for k, v in tiny.items()})
    for init, more in (("tiny", 0.0), ("imagenet", 1.0)):
        torch.manual_seed(0)
        anew = build_space_time({**given(), "init": None})
        torch.manual_seed(0)
        model = build_space_time({**given(), "init": init})
        for trunk, plain in ((model.query_trunk, anew.query_trunk), (model.memory_trunk, anew.memory_trunk)):
            for name, value in trunk.state_dict().items():
                if name == "body.conv_stem.weight":
                    torch.testing.assert_close(value[:, :3], tiny[name] + more)
                    assert torch.equal(value[:, 3:], plain.state_dict()[name][:, 3:])
                else:
                    torch.testing.assert_close(value.float(), tiny[name].float() + more)
        assert torch.equal(model.decoder.predict.weight, anew.decoder.predict.weight)


@pytest.mark.parametrize("name", ["stm_light", "stm", "mivos"])
def test_both_trunks_learn_at_the_rate_of_backbones(name: str) -> None:
    with torch.device("meta"):
        model = build_network(compose("train", [f"model={name}", "data.root=-"])["model"])
    slow = {key.partition(".")[0] for key, _ in model.named_parameters() if key.startswith(BACKBONES)}
    assert slow == {"query_trunk", "memory_trunk"} < {part for part, _ in model.named_children()}


def test_weights_of_a_space_time_memory_are_gone_on_from(tmp_path: Path) -> None:
    settings = given()
    first = build_space_time({**settings, "init": None})
    save(first, tmp_path / "first.safetensors", settings["model"])
    second = build_space_time({**settings, "init": str(tmp_path / "first.safetensors")})
    for name, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name].float(), value.float(), atol=1e-3, rtol=1e-3)


def test_models_of_other_kinds_are_refused() -> None:
    with pytest.raises(UserError, match="train a space-time memory, which tiny is not: model=stm_light, stm and mivos"):
        build_space_time(compose("train", ["stage=propagation_photos", "data.root=-"]))
    with pytest.raises(UserError, match="have weights for trunk tf_efficientnet_lite0 alone"):
        build_space_time({**given(), "model": compose("train", ["model=stm", "data.root=-"])["model"], "init": "tiny"})


def test_a_run_trains_its_clips_and_writes_weights(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = [
        "init=null", f"out={out}", "device=cpu", "stage.steps=2", "stage.size=64", "stage.batch_size=2",
        "stage.workers=0", "stage.checkpointing=true", "stage.trained=[decoder, query_heads]",
    ]  # fmt: skip
    run.main(["model=stm_light", "stage=propagation_synth", "data.root=-", "data.sources=[]", *small])
    trained = load(out / "stm_light.safetensors")
    assert isinstance(trained, SpaceTimeMemory)
    assert isinstance(build_network(given()["model"]), SpaceTimeMemory)
    assert (out / "last.pt").is_file() and not (out / "pictures").exists()
