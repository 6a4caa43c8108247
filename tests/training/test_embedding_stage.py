"""The stage of FEELVOS: models and weights it starts from, settings, a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.test_feelvos_official import official
from univs.configuration import compose
from univs.errors import UserError
from univs.models.feelvos import FEELVOS
from univs.models.own_files import save
from univs.models.xception import Unit
from univs.models.zoo import build_feelvos, load, numbers_of
from univs.training import embedding_stage, run
from univs.training.embedding_stage import build_embedding
from univs.training.recomputation import encoder_blocks
from univs.training.stages import check_run
from univs.training.trainer import BACKBONES


def given(*more: str) -> dict[str, Any]:
    return compose("train", ["model=feelvos_light", "stage=feelvos", "data.root=-", *more])


def test_the_stage_that_ships_can_be_run() -> None:
    for model in ("feelvos_light", "feelvos"):
        check_run(given(f"model={model}"))
    check_run(given("stage.probabilities={photo: 0, video: 0, synth: 1}", "data.sources=[]"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["stage.answered=0"], "stage.answered must be"),
        (["stage.frames=2"], "stage.frames must be"),
        (["stage.reference_cells=0"], "stage.reference_cells must be"),
        (["stage.output_stride=32"], "stage.output_stride must be"),
        (["stage.losses.cross_entropy=0"], "nothing is learnt"),
        (["+stage.losses.dice=1"], "unknown setting stage.losses.dice"),
        (["supervision=boxes"], "step embedding learns from masks alone"),
    ],
)
def test_wrong_settings_are_named(more: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_run(given(*more))


def test_what_the_model_does_not_fit_is_named() -> None:
    for more, message in (
        (["model=tiny"], "trains a FEELVOS, which tiny is not: model=feelvos_light and feelvos are"),
        (["stage.answered=5"], "stage.frames must be at least stage.answered [+] 2, which is 7"),
        (["stage.output_stride=8"], "stage.output_stride: .* which a light backbone has not: 16"),
        (["model=feelvos"], "have weights for trunk tf_efficientnet_lite0 alone"),
    ):
        with pytest.raises(UserError, match=message):
            build_embedding({**given(*more), "init": "tiny"})


def test_initial_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = load("tiny").backbone.state_dict()
    monkeypatch.setattr(embedding_stage, "lite0_imagenet", lambda: {k[5:]: v + 1 for k, v in tiny.items()})
    torch.manual_seed(0)
    anew = build_embedding({**given(), "init": None})
    for init, more in (("tiny", 0.0), ("imagenet", 1.0)):
        torch.manual_seed(0)
        model = build_embedding({**given(), "init": init})
        for name, value in model.features.backbone.state_dict().items():
            torch.testing.assert_close(value.float(), tiny[name.removeprefix("stages.")].float() + more)
        assert torch.equal(model.head.predict.weight, anew.head.predict.weight)
    asks = load("stm_light").query_trunk.state_dict()
    for name, value in build_embedding({**given(), "init": "stm_light"}).features.backbone.stages.state_dict().items():
        assert torch.equal(value, asks[name]), name
    save(anew, tmp_path / "first.safetensors", anew.config)
    second = build_embedding({**given(), "init": str(tmp_path / "first.safetensors")})
    for name, value in anew.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name].float(), value.float(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["feelvos_light", "feelvos"])
def test_the_backbone_alone_learns_at_the_rate_of_backbones(name: str) -> None:
    with torch.device("meta"):
        model = build_feelvos(numbers_of(name))
    slow = {key for key, _ in model.named_parameters() if key.startswith(BACKBONES)}
    assert slow == {f"features.backbone.{key}" for key, _ in model.features.backbone.named_parameters()} != set()


def test_the_official_network_starts_from_a_deeplab(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    whole = build_feelvos(numbers_of("feelvos"))
    variables = {name: values for name, values in official(whole).items() if not name.startswith("embedding")}
    variables |= {"logits/semantic/weights": np.zeros((1, 1, 256, 21)), "logits/semantic/biases": np.zeros(21)}
    variables["global_step"] = np.array(3)
    np.savez(tmp_path / "deeplab.npz", **variables)
    with caplog.at_level(logging.WARNING):
        model = build_embedding({**given("model=feelvos"), "init": str(tmp_path / "deeplab.npz")})
    assert "have nothing for embedding.depthwise.weight, embedding.depthwise.bias and 20 more" in caplog.text
    for name, value in whole.features.state_dict().items():
        assert torch.equal(model.features.state_dict()[name], value), name
    entry = model.features.backbone.units[2]
    assert isinstance(entry, Unit) and entry.shortcut.stride == (2, 2), "it learns at stride 16"
    blocks = encoder_blocks(model)
    assert len(blocks) == 21 and all(isinstance(block, Unit) for block in blocks)
    np.savez(tmp_path / "other.npz", **{"aspp0/weights": variables["aspp0/weights"]})
    with pytest.raises(UserError, match="not those of an Xception-65"):
        build_embedding({**given("model=feelvos"), "init": str(tmp_path / "other.npz")})


def test_a_run_trains_its_clips_and_writes_weights(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = [
        "init=null", f"out={out}", "device=cpu", "stage.steps=2", "stage.size=64", "stage.batch_size=2",
        "stage.workers=0", "stage.checkpointing=true", "stage.trained=[head, embedding]", "stage.losses.triplet=1",
        "stage.probabilities={photo: 0, video: 0, synth: 1}",
    ]  # fmt: skip
    run.main(["model=feelvos_light", "stage=feelvos", "data.root=-", "data.sources=[]", *small])
    trained = load(out / "feelvos_light.safetensors")
    assert isinstance(trained, FEELVOS) and trained.config == given()["model"]
    assert (out / "feelvos_light.safetensors").stat().st_size < 12e6
