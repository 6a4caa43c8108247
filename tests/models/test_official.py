"""Official checkpoints: recognised by names and shapes, complete or refused. (Their numbers: tests/conformance.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from univs.errors import UserError
from univs.models import UniVS, build_model
from univs.models.official import CLASS_ROWS, is_official, load_official, our_name
from univs.models.zoo import load

PREDICTOR = "sem_seg_head.predictor."
PIXELS = "sem_seg_head.pixel_decoder."


@pytest.fixture(scope="module")
def r50(repository: Path) -> UniVS:
    torch.manual_seed(0)
    return build_model(yaml.safe_load((repository / "configs/model/r50.yaml").read_text())).eval()


def official_name(ours: str) -> str:
    """The inverse of the table, written out apart from it."""
    name = re.sub(r"^backbone\.body\.conv1", "backbone.stem.conv1", ours)
    name = re.sub(r"^backbone\.body\.bn1", "backbone.stem.conv1.norm", name)
    name = re.sub(r"^backbone\.body\.layer(\d)", lambda m: f"backbone.res{int(m[1]) + 1}", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    if name.startswith("backbone.res"):
        name = re.sub(r"\.bn(\d)\.", r".conv\1.norm.", name)
    name = re.sub(r"^pixel_decoder\.level_embed", PIXELS + "transformer.level_embed", name)
    name = re.sub(r"^pixel_decoder\.layers\.(\d)\.attention", PIXELS + r"transformer.encoder.layers.\1.self_attn", name)
    name = re.sub(r"^pixel_decoder\.layers", PIXELS + "transformer.encoder.layers", name)
    for index, layer in ((0, ""), (1, ".norm")):
        name = name.replace(f"pixel_decoder.lateral.{index}", f"pixel_decoder.adapter_1{layer}")
        name = name.replace(f"pixel_decoder.output.{index}", f"pixel_decoder.layer_1{layer}")
    name = re.sub(r"^pixel_decoder\.", PIXELS, name)
    kinds = (
        ("prompt_attention", "prompt_self_attention", "multihead_attn"),
        ("image_attention", "cross_attention", "multihead_attn"),
        ("self_attention", "self_attention", "self_attn"),
    )
    for ours_kind, theirs, inner in kinds:
        name = re.sub(
            rf"^mask_decoder\.{ours_kind}\.(\d)\.attention", rf"{PREDICTOR}transformer_{theirs}_layers.\1.{inner}", name
        )
        name = re.sub(
            rf"^mask_decoder\.{ours_kind}\.(\d)\.norm", rf"{PREDICTOR}transformer_{theirs}_layers.\1.norm", name
        )
    name = re.sub(r"in_proj\.(weight|bias)$", r"in_proj_\1", name)
    name = name.replace("mask_decoder.feed_forward", PREDICTOR + "transformer_ffn_layers")
    rest = {
        "mask_decoder.query": "query_feat.weight",
        "mask_decoder.query_position": "query_embed.weight",
        "mask_decoder.level_embed": "level_embed.weight",
        "mask_decoder.class_temperature": "cls_temp.weight",
        "visual_sampler.prompt_sot": "prompt_sot.weight",
    }
    if name in rest:
        return PREDICTOR + rest[name]
    name = name.replace("mask_decoder.norm.", PREDICTOR + "decoder_norm.")
    name = name.replace("mask_decoder.mask_embedding.", PREDICTOR + "mask_embed.")
    return name.replace("mask_decoder.class_projection.", PREDICTOR + "vis2text_projection.")


@pytest.fixture(scope="module")
def checkpoint(r50: UniVS) -> dict[str, Tensor]:
    """An official state dict whose numbers are those of `r50`."""
    ours = r50.state_dict()
    named = {official_name(name): value for name, value in ours.items() if not name.endswith("num_batches_tracked")}
    named[PREDICTOR + "text_norm.weight"] = torch.ones(640)
    named["backbone_t.stem.conv1.weight"] = torch.zeros(64, 3, 7, 7)
    named["sem_seg_head_t.predictor.query_feat.weight"] = torch.zeros(200, 256)
    return named


def test_the_table_is_one_to_one(r50: UniVS) -> None:
    for name in r50.state_dict():
        if not name.endswith("num_batches_tracked"):
            assert our_name(official_name(name)) == name


def test_a_checkpoint_file_becomes_a_model(r50: UniVS, checkpoint: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": checkpoint, "iteration": 7}, tmp_path / "r50.pth")
    model = load(tmp_path / "r50.pth")
    assert model.config["name"] == "r50" and not model.training
    loaded = model.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in r50.state_dict().items())


def test_leftovers_gaps_and_shapes_are_named(r50: UniVS, checkpoint: dict[str, Tensor]) -> None:
    before = {name: value.clone() for name, value in r50.state_dict().items()}
    query = PREDICTOR + "query_feat.weight"
    swin = {"backbone.patch_embed.proj.weight": torch.zeros(1), "backbone.norm0.bias": torch.zeros(1)}
    with pytest.raises(UserError, match=r"unknown backbone\.patch_embed\.proj\.weight, backbone\.norm0\.bias"):
        load_official(r50, {**checkpoint, **swin})
    with pytest.raises(UserError, match=r"nothing for mask_decoder\.query$"):
        load_official(r50, {name: value for name, value in checkpoint.items() if name != query})
    with pytest.raises(UserError, match=r"query_feat.weight has shape \(100, 256\) and not \(200, 256\)"):
        load_official(r50, {**checkpoint, query: torch.zeros(100, 256)})
    assert all(torch.equal(value, before[name]) for name, value in r50.state_dict().items())


def test_official_files_are_recognised_by_names(r50: UniVS, checkpoint: dict[str, Tensor]) -> None:
    assert is_official(checkpoint) and not is_official(r50.state_dict())


def test_official_weights_know_no_negative_points(r50: UniVS) -> None:
    features = r50.encode_image(r50.normalize(torch.zeros(1, 3, 32, 64)))
    with pytest.raises(UserError, match="negative points"):
        r50.encode_points(features, torch.tensor([[[5.0, 5.0]]]), torch.tensor([[0]]))


def test_class_rows_fill_the_table_of_class_embeddings() -> None:
    ends = sorted((start, start + count) for start, count in CLASS_ROWS.values())
    assert ends[0][0] == 0 and max(end for _, end in ends) == 3938
    for (_, end), (start, _) in zip(ends, ends[1:], strict=False):
        assert start <= end  # no gap
