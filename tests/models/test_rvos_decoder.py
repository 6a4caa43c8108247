"""The recurrent decoder against a loop that takes one slot and one level at a time, as the paper draws it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.models.rvos_decoder import ConvLSTMCell, RecurrentDecoder, SlotStates, enlarged, mask_pyramid, recurred

HIDDEN = (6, 4, 4, 2)
SIZES = ((2, 3), (4, 5), (7, 9), (14, 17))
"""Of the levels of an image of 54 x 66."""


@pytest.fixture
def skips() -> list[Tensor]:
    """Of two videos."""
    torch.manual_seed(1)
    return [torch.randn(2, channels, *size) for channels, size in zip((6, 6, 4, 4), SIZES, strict=True)]


def make_decoder(masked: bool) -> RecurrentDecoder:
    torch.manual_seed(0)
    decoder = RecurrentDecoder(HIDDEN, masked=masked).requires_grad_(False)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return decoder


def loop(
    decoder: RecurrentDecoder,
    skips: Sequence[Tensor],
    masks: Tensor | None,
    before: Sequence[Tensor] | None,
    slots: int,
    spatial: bool,
) -> tuple[Tensor, list[list[Tensor]], list[list[Tensor]]]:
    """Logits B N h w, hidden states and cells by slot and level."""
    logits: list[Tensor] = []
    hidden: list[list[Tensor]] = []
    cells: list[list[Tensor]] = []
    for slot in range(slots):
        above, own_hidden, own_cells = None, [], []
        for level, (cell, skip) in enumerate(zip(decoder.levels, skips, strict=True)):
            assert isinstance(cell, ConvLSTMCell)
            zeros = skip.new_zeros(len(skip), HIDDEN[level], *skip.shape[-2:])
            seen = slot > 0 and spatial
            last_hidden, last_cell = (hidden[-1][level], cells[-1][level]) if seen else (zeros, zeros)
            maps = [skip]
            if above is not None:
                size = skip.shape[-2:]
                maps = [F.interpolate(above, size=size, mode="bilinear", align_corners=True), skip]
            if masks is not None:
                mask = masks[:, slot : slot + 1]
                for _ in range(2 + 3 - level):
                    mask = F.max_pool2d(mask, 2, ceil_mode=True)
                maps.append(mask)
            maps += [last_hidden, zeros if before is None else before[level][:, slot]]
            i, f, o, g = cell.gates(torch.cat(maps, 1)).chunk(4, 1)
            now = torch.sigmoid(f) * last_cell + torch.sigmoid(i) * torch.tanh(g)
            above = torch.sigmoid(o) * torch.tanh(now)
            own_hidden.append(above)
            own_cells.append(now)
        assert above is not None
        larger = F.interpolate(above, scale_factor=2, mode="bilinear", align_corners=True)
        logits.append(decoder.predict(larger)[:, 0])
        hidden.append(own_hidden)
        cells.append(own_cells)
    return torch.stack(logits, 1), hidden, cells


def check(states: SlotStates, hidden: list[list[Tensor]], cells: list[list[Tensor]]) -> None:
    for got, want in ((states.hidden, hidden), (states.cells, cells)):
        for level in range(len(HIDDEN)):
            wanted = torch.stack([slot[level] for slot in want], 1)
            torch.testing.assert_close(got[level], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("spatial", [False, True])
def test_two_frames_are_those_of_a_loop_over_slots_and_levels(skips: list[Tensor], masked: bool, spatial: bool) -> None:
    decoder = make_decoder(masked)
    masks = torch.rand(2, 3, 54, 66) if masked else None
    before: tuple[Tensor, ...] | None = None
    for _ in range(2):
        logits, states = decoder(skips, masks, before, 3, spatial=spatial)
        want, hidden, cells = loop(decoder, skips, masks, before, 3, spatial)
        assert logits.shape == (2, 3, 28, 34)
        torch.testing.assert_close(logits, want, atol=1e-5, rtol=1e-5)
        check(states, hidden, cells)
        before = states.hidden


def test_slots_at_the_end_may_be_left_out_and_others_not(skips: list[Tensor]) -> None:
    decoder, masks = make_decoder(True), torch.rand(2, 4, 54, 66)
    all_of_them, _ = decoder(skips, masks, None, 4)
    torch.testing.assert_close(decoder(skips, masks[:, :2], None, 2)[0], all_of_them[:, :2])
    later, _ = decoder(skips, masks[:, 1:], None, 3)
    assert not torch.allclose(later, all_of_them[:, 1:], atol=1e-3)


def test_videos_of_a_batch_are_answered_as_one_by_one(skips: list[Tensor]) -> None:
    decoder, masks = make_decoder(True), torch.rand(2, 2, 54, 66)
    both, _ = decoder(skips, masks, None, 2)
    second, _ = decoder([skip[1:] for skip in skips], masks[1:], None, 2)
    torch.testing.assert_close(both[1:], second)


def test_an_lstm_step_of_known_gates() -> None:
    gates = torch.tensor([0.0, 100.0, 100.0, 100.0])[:, None, None]  # half open, open, open, candidate 1
    hidden, cell = recurred(gates, torch.full((1, 1, 1), 2.0))
    assert cell.item() == pytest.approx(2.5) and hidden.item() == pytest.approx(torch.tanh(torch.tensor(2.5)).item())
    assert recurred(gates, None)[1].item() == pytest.approx(0.5)


def test_a_single_pixel_of_a_mask_is_seen_at_every_level() -> None:
    masks = torch.zeros(1, 1, 61, 107)
    masks[0, 0, 60, 106] = 0.75
    pyramid = mask_pyramid(masks, 4)
    assert [tuple(level.shape[-2:]) for level in pyramid] == [(2, 4), (4, 7), (8, 14), (16, 27)]
    assert all(level.sum() == 0.75 and level[0, 0, -1, -1] == 0.75 for level in pyramid)


def test_corner_cells_keep_their_values_when_maps_are_enlarged() -> None:
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    large = enlarged(maps, (5, 7))
    assert large[0, 0, 0, 0] == 0 and large[0, 0, -1, -1] == 5 and large[0, 0, 0, 3] == 1
    assert enlarged(maps, (2, 3)) is maps
