"""Official checkpoints: recognised by names and shapes, complete or refused. (Their numbers: tests/conformance.)"""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
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
        "text_prompter.prompt_grounding": "prompt_grounding.weight",
        "text_prompter.prompt_detection": "prompt_detection.weight",
    }
    if name in rest:
        return PREDICTOR + rest[name]
    name = name.replace("text_prompter.norm.", PREDICTOR + "text_norm.")
    name = name.replace("text_prompter.projection.", PREDICTOR + "text2vis_projection.")
    look = PREDICTOR + "lang2vision_cross_attention_layer."
    name = name.replace("text_prompter.image_attention.attention.", look + "multihead_attn.")
    name = name.replace("text_prompter.image_attention.", look)
    name = name.replace("mask_decoder.norm.", PREDICTOR + "decoder_norm.")
    name = name.replace("mask_decoder.mask_embedding.", PREDICTOR + "mask_embed.")
    return name.replace("mask_decoder.class_projection.", PREDICTOR + "vis2text_projection.")


@pytest.fixture(scope="module")
def checkpoint(r50: UniVS) -> dict[str, Tensor]:
    """An official state dict whose numbers are those of `r50`."""
    ours = r50.state_dict()
    named = {official_name(name): value for name, value in ours.items() if not name.endswith("num_batches_tracked")}
    named[PREDICTOR + "reid_temp.weight"] = torch.ones(1, 1)
    return named


def test_the_table_is_one_to_one(r50: UniVS) -> None:
    for name in r50.state_dict():
        if not name.endswith("num_batches_tracked"):
            assert our_name(official_name(name)) == name


def test_a_checkpoint_file_becomes_a_model(
    r50: UniVS, checkpoint: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"model": checkpoint, "iteration": 7}, tmp_path / "r50.pth")
    model = load(tmp_path / "r50.pth")
    assert model.config["name"] == "r50" and not model.training and not caplog.messages
    loaded = model.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in r50.state_dict().items())
    with pytest.raises(UserError, match="holds no moving averages"):
        load(tmp_path / "r50.pth", averages=True)


def test_wrapped_counted_and_halved_checkpoints_are_the_same_model(
    r50: UniVS, checkpoint: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counted = {**checkpoint, "backbone.stem.conv1.norm.num_batches_tracked": torch.tensor(7)}
    halved = {f"module._orig_mod.{name}": halve(value) for name, value in counted.items()}
    torch.save({"state_dict": halved, "best": np.float64(3.1)}, tmp_path / "r50.pth")
    loaded = load(tmp_path / "r50.pth").state_dict()
    assert not caplog.messages
    for name, value in r50.state_dict().items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], halve(value).to(value.dtype)), name
    save_file({name: value.contiguous().clone() for name, value in checkpoint.items()}, tmp_path / "r50.safetensors")
    loaded = load(tmp_path / "r50.safetensors").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in r50.state_dict().items())


def halve(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def test_broken_and_foreign_weights_are_named(checkpoint: dict[str, Tensor], tmp_path: Path) -> None:
    query = PREDICTOR + "query_feat.weight"
    nan = checkpoint[query].clone()
    nan[3, 4] = float("nan")
    deeper = {f"backbone.res4.{block}.conv1.weight": torch.zeros(1) for block in range(23)}
    unread = {PREDICTOR + "reid_temp.weight": torch.full((1, 1), float("nan"))}
    swin = {f"backbone.layers.2.blocks.{block}.x": torch.zeros(1) for block in range(18)}
    swin["backbone.patch_embed.proj.weight"] = torch.zeros(96, 3, 4, 4)
    for content, words in (
        ({**checkpoint, query: nan}, rf"{query} holds NaN"),
        ({**checkpoint, **deeper}, "official weights of a ResNet-101: R50, Swin-T"),
        ({query: checkpoint[query], **swin}, r"96 channels and 18 blocks in its third stage \(Swin-S\)"),
        ({query: checkpoint[query]}, "incomplete: nothing for the backbone"),
    ):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(UserError, match=words) as error:
            load(tmp_path / "x.pth")
        assert str(tmp_path / "x.pth") in str(error.value)
    torch.save({**checkpoint, **unread}, tmp_path / "x.pth")
    load(tmp_path / "x.pth")


def test_moving_averages_are_chosen_or_skipped_with_a_notice(
    checkpoint: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    query, norm = PREDICTOR + "query_feat.weight", "backbone.stem.conv1.norm.weight"
    averages = {
        query.replace("sem_seg_head.", "sem_seg_head_t."): torch.full((200, 256), 7.0),
        norm.replace("backbone.", "backbone_t."): torch.full((64,), 3.0),
    }
    torch.save({"model": {**checkpoint, **averages}}, tmp_path / "r50.pth")
    plain = load(tmp_path / "r50.pth").state_dict()
    assert torch.equal(plain["mask_decoder.query"], checkpoint[query])
    assert len(caplog.messages) == 1 and "moving averages of 2 tensors, which are not used" in caplog.messages[0]
    averaged = load(tmp_path / "r50.pth", averages=True).state_dict()
    assert (averaged["mask_decoder.query"] == 7).all() and (averaged["backbone.body.bn1.weight"] == 3).all()
    # of what is not averaged the weight itself
    assert torch.equal(averaged["mask_decoder.query_position"], plain["mask_decoder.query_position"])
    assert len(caplog.messages) == 1


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


def test_a_mask2former_gives_what_fits(
    r50: UniVS, checkpoint: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("prompt_", "lang2vision", "text", "cls_temp", "reid_temp", "query_feat", "query_embed")
    arrays = {name: value.numpy() for name, value in checkpoint.items() if not any(part in name for part in names)}
    arrays[PREDICTOR + "static_query.weight"] = np.full((200, 256), 5, dtype=np.float32)
    arrays[PREDICTOR + "query_embed.weight"] = np.zeros((100, 256), dtype=np.float32)
    arrays[PREDICTOR + "class_embed.weight"] = np.zeros((134, 256), dtype=np.float32)
    arrays["criterion.empty_weight"] = np.ones(134, dtype=np.float32)
    path = tmp_path / "m2f.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody", "matching_heuristics": True}, 2))
    torch.manual_seed(1)
    model = load(path)
    (message,) = caplog.messages
    assert "nothing in it for visual_sampler.prompt_sot, mask_decoder.query_position, mask_decoder.class_" in message
    assert message.endswith("nothing took sem_seg_head.predictor.query_embed, sem_seg_head.predictor.class_embed")
    loaded, ours = model.state_dict(), r50.state_dict()
    assert (loaded["mask_decoder.query"] == 5).all()  # the older name of the same
    for name in (
        "backbone.body.conv1.weight",
        "pixel_decoder.level_embed",
        "mask_decoder.mask_embedding.layers.2.bias",
    ):
        assert torch.equal(loaded[name], ours[name]), name
    fresh = model.text_prompter
    assert fresh is not None and 0.015 < fresh.projection.weight.std() < 0.025 and not fresh.projection.bias.any()
    assert loaded["mask_decoder.query_position"].std() > 0.5  # of another count: stays random
    assert loaded["mask_decoder.class_temperature"].item() == pytest.approx(math.log(1 / 0.07))


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
