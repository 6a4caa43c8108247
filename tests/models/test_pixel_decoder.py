from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from univs.models.pixel_decoder import DeformablePixelDecoder, LightPixelDecoder, ResidualBlock


def backbone_maps(channels: tuple[int, ...] = (6, 8, 10, 12)) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, c, 64 // s, 96 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)]


def test_both_kinds_have_one_interface() -> None:
    light = LightPixelDecoder((6, 8, 10, 12), widths=(20, 20, 12, 8), dim=32, mask_dim=5)
    deformable = DeformablePixelDecoder((6, 8, 10, 12), dim=32, mask_dim=5, layers=1, heads=4, points=2, ffn=16)
    for decoder in (light, deformable):
        features = decoder(backbone_maps())
        assert features.input_size == (64, 96)
        assert [level.shape for level in features.levels] == [(2, 32, 2, 3), (2, 32, 4, 6), (2, 32, 8, 12)]
        assert features.mask_features.shape == (2, 5, 16, 24)
        assert {stride: (m.shape[1], 64 // m.shape[2]) for stride, m in features.pyramid.items()} == {
            stride: (channels, stride) for stride, channels in decoder.pyramid_channels.items()
        }
        one = features.frames(slice(1, 2))
        assert torch.equal(one.levels[2][0], features.levels[2][1])
        assert torch.equal(one.pyramid[4][0], features.pyramid[4][1])


def test_light_pyramid_adds_the_coarser_map() -> None:
    decoder = LightPixelDecoder((6, 8, 10, 12), widths=(20, 20, 12, 8), dim=32, mask_dim=5)
    maps = backbone_maps()
    features = decoder(maps)
    coarse = decoder.down[1](features.pyramid[16])
    merged = decoder.lateral[2](maps[1]) + F.interpolate(coarse, scale_factor=2, mode="bilinear")
    block = decoder.blocks[2]
    assert torch.allclose(features.pyramid[8], block(merged), atol=1e-5)
    assert torch.allclose(features.mask_features, decoder.mask_features(features.pyramid[4]), atol=1e-5)


def test_residual_block_is_pre_activated() -> None:
    block = ResidualBlock(4)
    x = -torch.rand(1, 4, 5, 5)  # nothing passes the first ReLU, so the block adds a constant away from the border
    change = (block(x) - x)[0, :, 2, 2]
    assert torch.allclose(change, (block(2 * x) - 2 * x)[0, :, 2, 2], atol=1e-6)


def test_deformable_levels_are_coarse_first_and_frames_are_apart() -> None:
    torch.manual_seed(0)
    decoder = DeformablePixelDecoder((6, 8, 10, 12), dim=32, mask_dim=5, layers=2, heads=4, points=2, ffn=16)
    maps = backbone_maps()
    coarsest: Any = decoder.input_proj[0]
    assert coarsest[0].in_channels == 12
    whole, second = decoder(maps), decoder([m[1:] for m in maps])
    for a, b in zip(whole.levels, second.levels, strict=True):
        assert torch.allclose(a[1:], b, atol=1e-5)


def test_the_deformable_decoder_keeps_float32_under_autocast() -> None:
    decoder = DeformablePixelDecoder((6, 8, 10, 12), dim=32, mask_dim=5, layers=1, heads=4, points=2, ffn=16)
    maps = [x.bfloat16() for x in backbone_maps()]
    plain = decoder([x.float() for x in maps])
    with torch.autocast("cpu", torch.bfloat16):
        features = decoder(maps)
    assert torch.equal(features.mask_features, plain.mask_features)
    assert torch.equal(features.levels[0], plain.levels[0])
