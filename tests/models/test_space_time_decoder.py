"""The decoder of space-time memories: what it shares over objects, and its parts written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from univs.models.space_time_decoder import ResidualBlock, SpaceTimeDecoder, joined, one_logit


def decoder(logits: int = 1, *, narrowed: bool = False) -> SpaceTimeDecoder:
    torch.manual_seed(0)
    return SpaceTimeDecoder(6, [256, 512], [12, 8, 4], narrowed=narrowed, logits=logits).requires_grad_(False)


def test_a_residual_block_adds_what_came_in() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 6, 5, 7)
    for out in (6, 9):
        block = ResidualBlock(6, out).requires_grad_(False)
        inner = F.conv2d(x.clamp_min(0), block.conv1.weight, block.conv1.bias, padding=1)
        added = F.conv2d(inner.clamp_min(0), block.conv2.weight, block.conv2.bias, padding=1)
        came = x if out == 6 else F.conv2d(x, block.shortcut.weight, block.shortcut.bias, padding=1)
        torch.testing.assert_close(block(x), came + added)


@pytest.mark.parametrize("narrowed", [False, True])
def test_objects_are_decoded_as_if_alone(narrowed: bool) -> None:
    network = decoder(narrowed=narrowed)
    skips = network.skips(torch.randn(1, 512, 4, 6), torch.randn(1, 256, 8, 12))
    x = torch.randn(3, 6, 2, 3)
    together = network(x, skips)
    assert together.shape == (3, 1, 32, 48)
    for number in range(3):
        torch.testing.assert_close(together[number : number + 1], network(x[number : number + 1], skips))
    other = network(x, network.skips(torch.randn(1, 512, 4, 6), torch.zeros(1, 256, 8, 12)))
    assert (other - together).abs().max() > 1e-3


def test_each_skip_meets_the_coarser_map_twice_as_large() -> None:
    network = decoder()
    stage = network.up8
    coarse, skip = torch.randn(1, 12, 2, 3), torch.randn(1, 512, 4, 6)
    prepared = stage.prepare(skip)
    torch.testing.assert_close(prepared, stage.skip_block(stage.skip(skip)))
    larger = F.interpolate(coarse, (4, 6), mode="bilinear", align_corners=False)
    torch.testing.assert_close(stage(coarse, prepared), stage.block(prepared + larger))


def test_two_logits_become_the_one_that_says_the_same() -> None:
    two = 3 * torch.randn(2, 2, 4, 5)
    torch.testing.assert_close(one_logit(two).sigmoid(), two.softmax(1)[:, 1])
    one = torch.randn(2, 1, 4, 5)
    assert torch.equal(one_logit(one), one[:, 0])


def test_what_was_read_comes_before_what_the_frame_says() -> None:
    readout, value = torch.randn(2, 3, 4, 5), torch.randn(1, 3, 4, 5)
    both = joined(readout, value)
    assert (
        torch.equal(both[:, :3], readout) and torch.equal(both[0, 3:], value[0]) and torch.equal(both[1, 3:], value[0])
    )


@pytest.mark.parametrize(("widths", "logits"), [([8, 8], 1), ([8, 8, 8], 3)])
def test_impossible_numbers_are_refused(widths: list[int], logits: int) -> None:
    with pytest.raises(ValueError, match="three widths and 1 or 2 logits"):
        SpaceTimeDecoder(6, [256, 512], widths, narrowed=False, logits=logits)
