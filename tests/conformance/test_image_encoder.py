"""Backbone and pixel decoder against the golden figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models import UniVS

pytestmark = pytest.mark.conformance


@pytest.mark.cases("*_backbone_pixdec_*")
def test_image_encoder(case: Any, model: UniVS) -> None:
    frames = case.whole("frames_uint8_rgb")
    images = model.normalize((frames if frames.shape[1] == 3 else frames.permute(0, 3, 1, 2))[:1])
    case.check("input_padded", images, 1e-5)
    before_conv: list[Tensor] = []
    hook = model.pixel_decoder.output.register_forward_hook(lambda *call: before_conv.append(call[2]))
    with torch.no_grad():
        maps = model.backbone(images)
        features = model.pixel_decoder(maps)
    hook.remove()
    for stage, feature in enumerate(maps, start=2):
        case.check(f"res{stage}", feature, 3e-4)
    for i, level in enumerate(features.levels):
        case.check(f"multi_scale_{i}", level, 1e-4)
    case.check("mask_features_before_conv", before_conv[0], 1e-4)
    case.check("mask_features", features.mask_features, 1e-4)
