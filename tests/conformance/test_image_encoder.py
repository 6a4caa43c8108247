"""Official weights, backbone and pixel decoder against the golden figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models import UniVS
from univs.models.official import our_name

pytestmark = pytest.mark.conformance


def test_weight_rule_gives_the_manifests_check_sums(
    r50_manifest: dict[str, dict[str, Any]], official_weights: dict[str, Tensor]
) -> None:
    for name, entry in r50_manifest.items():
        weight = official_weights[name].double()
        assert weight.sum().item() == pytest.approx(entry["sum"], rel=1e-6, abs=1e-4), name
        assert weight.abs().max().item() == pytest.approx(entry["absmax"], rel=1e-6), name


def test_every_official_tensor_is_accounted_for(r50_manifest: dict[str, dict[str, Any]], r50: UniVS) -> None:
    renamed = {name: our_name(name) for name in r50_manifest}
    unread = {name.removeprefix("sem_seg_head.predictor.").split(".")[0] for name, ours in renamed.items() if not ours}
    assert unread == {
        "text_norm",
        "text2vis_projection",
        "lang2vision_cross_attention_layer",
        "prompt_detection",
        "prompt_grounding",
        "reid_temp",
    }
    ours = [name for name in renamed.values() if name]
    expected = {n: v for n, v in r50.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert len(ours) == len(set(ours))
    assert set(ours) == expected.keys()
    for official, name in renamed.items():
        if name:
            assert list(expected[name].shape) == r50_manifest[official]["shape"]


@pytest.mark.cases("r50_*_backbone_pixdec_*")
def test_image_encoder(case: Any, r50: UniVS) -> None:
    frames = case.whole("frames_uint8_rgb")
    images = r50.normalize((frames if frames.shape[1] == 3 else frames.permute(0, 3, 1, 2))[:1])
    case.check("input_padded", images, 1e-5)
    before_conv: list[Tensor] = []
    hook = r50.pixel_decoder.output.register_forward_hook(lambda *call: before_conv.append(call[2]))
    with torch.no_grad():
        maps = r50.backbone(images)
        features = r50.pixel_decoder(maps)
    hook.remove()
    for stage, feature in enumerate(maps, start=2):
        case.check(f"res{stage}", feature, 3e-4)
    for i, level in enumerate(features.levels):
        case.check(f"multi_scale_{i}", level, 1e-4)
    case.check("mask_features_before_conv", before_conv[0], 1e-4)
    case.check("mask_features", features.mask_features, 1e-4)
