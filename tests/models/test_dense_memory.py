"""Dense memory: what must not depend on what."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F

from univs.models.dense_memory import DenseMemory, Readout
from univs.models.features import ImageFeatures


def small() -> DenseMemory:
    torch.manual_seed(0)
    return DenseMemory(
        {16: 6, 8: 5, 4: 4}, 3, key_dim=8, value_dim=7, local_key_dim=4, local_value_dim=2, widths=(8, 6, 4)
    ).eval()


def image(seed: int, frames: int = 1) -> ImageFeatures:
    generator = torch.Generator().manual_seed(seed)

    def maps(channels: int, height: int, width: int) -> torch.Tensor:
        return torch.randn(frames, channels, height, width, generator=generator)

    pyramid = {16: maps(6, 4, 6), 8: maps(5, 8, 12), 4: maps(4, 16, 24)}
    return ImageFeatures((maps(4, 2, 3), maps(4, 4, 6), maps(4, 8, 12)), maps(3, 16, 24), pyramid)


def answer(dense: DenseMemory, now: ImageFeatures, then: ImageFeatures, masks: torch.Tensor) -> torch.Tensor:
    """The residual for `now` with one remembered frame."""
    key, past = dense.memory_key(now), dense.memory_key(then)
    value = dense.memory_value(then, masks)
    window = dense.local_window(key, past)
    return dense.residual(
        now, dense.readout(key, dense.read(key, past.memory, value.global_value), window, value.local_value)
    )


def masks_of(objects: int) -> torch.Tensor:
    return torch.rand(1, objects, 16, 24, generator=torch.Generator().manual_seed(5)) / objects


def test_permuting_objects_permutes_the_residual() -> None:
    dense, masks, order = small(), masks_of(3), torch.tensor([2, 0, 1])
    straight = answer(dense, image(1), image(2), masks)
    torch.testing.assert_close(
        answer(dense, image(1), image(2), masks[:, order]), straight[:, order], atol=1e-5, rtol=1e-5
    )


def test_a_batch_of_clips_equals_its_clips() -> None:
    dense = small()
    now, then = image(1, 2), image(2, 2)
    masks = torch.cat([masks_of(2), masks_of(2).flip(-1)])
    both = answer(dense, now, then, masks)
    for b in range(2):
        one = slice(b, b + 1)
        alone = answer(dense, now.frames(one), then.frames(one), masks[one])
        torch.testing.assert_close(both[one], alone, atol=1e-5, rtol=1e-5)


def test_other_objects_matter_only_through_their_sum() -> None:
    dense, masks = small(), masks_of(3)
    merged = torch.cat([masks[:, :1], masks[:, 1:].sum(1, keepdim=True)], 1)
    three, two = (dense.memory_value(image(2), m) for m in (masks, merged))
    torch.testing.assert_close(three.global_value[:, 0], two.global_value[:, 0])
    torch.testing.assert_close(three.local_value[:, 0], two.local_value[:, 0])


def test_dense_read_of_all_positions_equals_top_k_of_all() -> None:
    dense = small()
    key, past = dense.memory_key(image(1)), dense.memory_key(image(2))
    value = dense.memory_value(image(2), masks_of(2))
    dense.top_k = past.memory.shape[1]
    everything = dense.read_all(key, dense.global_affinity(key, past.memory), value.global_value)
    torch.testing.assert_close(dense.read(key, past.memory, value.global_value), everything, atol=1e-5, rtol=1e-5)


def test_readout_carries_the_previous_mask() -> None:
    dense = small()
    key = dense.memory_key(image(1))
    value = dense.memory_value(image(1), torch.ones(1, 1, 16, 24))
    readout: Readout = dense.readout(
        key, dense.read(key, key.memory, value.global_value), dense.local_window(key, key), value.local_value
    )
    torch.testing.assert_close(readout.local_read[:, :, -1], torch.ones(1, 1, 8, 12))  # a full mask stays full
    assert readout.global_read.shape == (1, 1, 7, 4, 6) and readout.previous_mask.shape == (1, 1, 1, 4, 6)


def test_a_prompt_is_read_as_an_entry_of_its_own_frame_marked_as_rough() -> None:
    dense, now, masks = small(), image(1), masks_of(2)
    maps = torch.stack([masks, (masks.sum(1, keepdim=True) - masks).clamp(0, 1)], dim=2)
    key = dense.memory_key(now)
    with torch.no_grad():
        dense.value8_rough.zero_()
        torch.testing.assert_close(dense.prompt_residual(now, key, maps), answer(dense, now, now, masks))
        dense.value8_rough.fill_(1.0)
        assert not torch.allclose(dense.prompt_residual(now, key, maps), answer(dense, now, now, masks), atol=1e-3)


def test_a_mask_is_carried_from_where_it_was_to_where_its_pixels_are_now() -> None:
    """Every cell of stride 8 looks like no other one, and all move by two of them to the right."""
    dense, cells = small(), torch.eye(96).view(1, 96, 8, 12)
    key, past = dense.memory_key(image(1)), dense.memory_key(image(2))
    key, past = replace(key, local=cells.roll(2, -1)), replace(past, local=cells)
    mask = torch.zeros(1, 1, 16, 24)
    mask[..., 4:12, 4:12] = 1
    value = dense.memory_value(image(2), mask)
    readout = dense.readout(
        key, dense.read(key, past.memory, value.global_value), dense.local_window(key, past), value.local_value
    )
    wanted = value.local_value[..., :-2]
    torch.testing.assert_close(readout.local_read[..., 2:], wanted, atol=1e-3, rtol=0)
    assert wanted[0, 0, -1, 2:6, 2:6].min() == 1 == readout.local_read[0, 0, -1, 2:6, 4:8].min().round(decimals=3)
    torch.testing.assert_close(readout.previous_mask[0, 0], F.avg_pool2d(mask[0], 4))  # where it was


def test_at_first_the_answer_is_the_carried_masks() -> None:
    """Summed over the channels of the mask features: 2 of the global one, 6 of the local one, less 4."""
    dense, now = small(), image(1)
    torch.nn.init.zeros_(dense.residual_out.weight[:, :-2])
    torch.manual_seed(3)
    readout = Readout(torch.rand(1, 2, 7, 4, 6), torch.rand(1, 2, 3, 8, 12), torch.rand(1, 2, 1, 4, 6))
    large, small_ = (
        F.interpolate(maps[0, :, -1:], (16, 24), mode="bilinear", align_corners=False)[:, 0]
        for maps in (readout.global_read, readout.local_read)
    )
    torch.testing.assert_close(dense.residual(now, readout)[0].sum(1), 2 * large + 6 * small_ - 4)


def test_cells_are_compared_by_their_distance_scaled_by_what_is_remembered() -> None:
    """By 1 and a square: a scale below 1, or below 0, would draw cells to what is unlike them."""
    dense, now, then = small(), image(1), image(2)
    query, memory = dense.memory_key(now).query, dense.memory_key(then).memory
    keys = [dense.key(one.pyramid[16])[0].flatten(1).T for one in (now, then)]
    scale = 1 + dense.shrinkage(then.pyramid[16])[0, 0].flatten() ** 2
    wanted = -scale * torch.cdist(*keys).square() / math.sqrt(8)
    torch.testing.assert_close((query @ memory.transpose(1, 2))[0], wanted, atol=1e-4, rtol=1e-4)
    assert (dense.shrinkage(then.pyramid[16]) < 0).any()
