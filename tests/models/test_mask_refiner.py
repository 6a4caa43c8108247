"""Squares of a frame, cut and laid back; what is known on their cells; and the network that looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.errors import UserError
from univs.models.backbone import Backbone
from univs.models.mask_refiner import (
    CLICK_CELLS,
    CellLayer,
    MaskRefiner,
    Squares,
    cut,
    extent_of,
    hull,
    laid_back,
    said_maps,
    squares_around,
)
from univs.models.univs import UniVS
from univs.models.zoo import build_model


def squares(*given: tuple[float, float, float]) -> Squares:
    """Of centres (x, y) and sides."""
    return Squares(torch.tensor([one[:2] for one in given]), torch.tensor([one[2] for one in given]))


def test_a_square_that_fits_the_pixels_is_a_piece_of_the_map() -> None:
    maps = torch.rand(2, 3, 20, 30)
    found = cut(maps, torch.tensor([1, 0]), squares((12.0, 9.0, 8.0), (4.0, 4.0, 8.0)), 8, (20, 30))
    torch.testing.assert_close(found, torch.stack([maps[1, :, 5:13, 8:16], maps[0, :, :8, :8]]))


def test_places_are_those_of_the_extent_and_nothing_lies_beyond() -> None:
    ramp = torch.arange(10.0).expand(1, 1, 10, 10) + 1
    (found,) = cut(ramp, torch.zeros(1, dtype=torch.long), squares((0.0, 50.0, 40.0)), 4, (100, 100))
    assert (found[0, :, :2] == 0).all()  # 20 of 100 pixels to the left of the map
    torch.testing.assert_close(found[0, :, 2:], torch.tensor([1.0, 2.0]).expand(4, 2))  # middles of cells 0 and 1


def test_what_is_laid_back_is_where_it_was_cut() -> None:
    smooth = torch.nn.functional.interpolate(torch.rand(1, 1, 5, 7), (40, 56), mode="bilinear")
    given = squares((30.0, 21.0, 24.0))
    pieces = cut(smooth, torch.zeros(1, dtype=torch.long), given, 24, (40, 56))[:, 0]
    found, inside = laid_back(pieces, given, (40, 56), (40, 56))
    assert inside[0].sum() == 24 * 24 and inside[0, 9:33, 18:42].all()
    torch.testing.assert_close(found[inside], smooth[0][inside])


def test_what_is_known_cell_by_cell() -> None:
    """Against loops over the cells."""
    rng = np.random.default_rng(0)
    given = squares((20.0, 24.0, 32.0), (40.0, 10.0, 16.0))
    boxes = torch.tensor([[[8.0, 12, 30, 40], [0, 0, 0, 0]], [[36, 4, 44, 12], [44, 12, 60, 30]]])
    points = torch.from_numpy(rng.uniform(0, 50, (2, 3, 2))).float()
    signs = torch.tensor([[1, 0, -1], [1, 1, 0]])
    prior = torch.rand(2, 8, 8)
    found = said_maps(prior, boxes, points, signs, given)
    for n, (x0, y0, side) in enumerate([(4.0, 8.0, 32.0), (32.0, 2.0, 16.0)]):
        for row in range(8):
            for column in range(8):
                x, y = x0 + (column + 0.5) * side / 8, y0 + (row + 0.5) * side / 8
                boxed = any(a < c and a <= x <= c and b <= y <= d for a, b, c, d in boxes[n].tolist())
                near = {
                    sign
                    for (px, py), sign in zip(points[n].tolist(), signs[n].tolist(), strict=True)
                    if np.hypot(px - x, py - y) <= CLICK_CELLS * side / 8
                }
                wanted = [float(prior[n, row, column]), float(boxed), float(1 in near), float(0 in near)]
                assert found[n, :, row, column].tolist() == pytest.approx(wanted)


def test_squares_lie_around_boxes_or_around_the_mask_and_its_clicks() -> None:
    logits = torch.full((4, 16, 16), -3.0)
    logits[0, 2:4, 2:4] = logits[1, 4:8, 5:7] = 3.0
    boxes, points = torch.zeros(4, 1, 4), torch.zeros(4, 2, 2)
    boxes[0, 0] = torch.tensor([20.0, 20, 60, 40])
    points[1] = torch.tensor([[40.0, 18.0], [63.0, 63.0]])
    points[2, 0] = torch.tensor([30.0, 8.0])
    signs = torch.tensor([[-1, -1], [1, 0], [1, -1], [-1, -1]])
    found = squares_around(logits, boxes, points, signs)
    assert found.centre.tolist() == [[40, 30], [30, 24], [30, 8], [0, 0]]  # the negative click reaches nowhere
    np.testing.assert_allclose(found.side, [1.5 * 40, 1.8 * 20, 32, 32], rtol=1e-6)
    tighter = squares_around(logits, boxes, points, signs, 1.25)
    np.testing.assert_allclose(tighter.side, [1.25 * 40, 1.8 * 20, 32, 32], rtol=1e-6)


def test_hulls_and_extents() -> None:
    there = torch.tensor([[False, True, False, True, False], [False] * 5])
    first, behind = extent_of(there)
    assert first.tolist() == [1, 0] and behind.tolist() == [4, 0]
    low, high = torch.tensor([[[1.0, 5], [3, 2]]]), torch.tensor([[[2.0, 8], [9, 3]]])
    assert hull(low, high, torch.tensor([[True, True]])).tolist() == [[1, 2, 9, 8]]
    assert hull(low, high, torch.tensor([[False, True]])).tolist() == [[3, 2, 9, 3]]
    assert hull(low, high, torch.tensor([[False, False]])).tolist() == [[0, 0, 0, 0]]


@pytest.fixture
def refiner() -> MaskRefiner:
    torch.manual_seed(0)
    made = MaskRefiner((4, 6, 8, 10), side=64, widths=(8, 16, 24), layers=2).eval()
    for parameter in made.parameters():  # what starts as nothing, too
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


def levels(count: int) -> list[Tensor]:
    return [torch.rand(count, width, side, side) for width, side in zip((4, 6, 8, 10), (16, 8, 4, 2), strict=True)]


def test_permuting_objects_permutes_what_is_said_of_them(refiner: MaskRefiner) -> None:
    maps, said, order = levels(3), torch.rand(3, 4, 16, 16), torch.tensor([2, 0, 1])
    with torch.no_grad():
        plain, permuted = refiner(maps, said), refiner([level[order] for level in maps], said[order])
    assert plain.shape == (3, 16, 16)
    torch.testing.assert_close(permuted, plain[order])


@pytest.mark.parametrize("place", range(8))
def test_everything_that_is_given_has_a_say(refiner: MaskRefiner, place: int) -> None:
    maps, said = levels(1), torch.rand(1, 4, 16, 16)
    with torch.no_grad():
        before = refiner(maps, said)
        if place < 4:
            maps[place] = maps[place] + 1
        else:
            said[:, place - 4] += 1
        after = refiner(maps, said)
    assert (before - after).abs().max() > 1e-3


def test_a_new_one_starts_undecided() -> None:
    with torch.no_grad():
        said = MaskRefiner((4, 6, 8, 10), 64, (8, 16, 24), 1)(levels(2), torch.rand(2, 4, 16, 16))
    assert said.abs().max() < 0.5


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ({"side": 100, "widths": [8, 8, 8], "layers": 1}, "a multiple of 32, not 100"),
        ({"side": 64, "widths": [8, 8], "layers": 1}, "three multiples of 8"),
        ({"side": 64, "widths": [8, 12, 8], "layers": 1}, "three multiples of 8"),
        ({"side": 64, "widths": [8, 8, 8]}, "layers"),
        ({"side": 64, "widths": [8, 8, 8], "layers": 1, "around": [1, 0]}, r"1 or more, not \[1, 0\]"),
        (
            {"side": 64, "widths": [8, 8, 8], "layers": 1, "trunk": "resnet18"},
            "tf_efficientnet_lite0.* 'resnet18' is not",
        ),
    ],
)
def test_impossible_numbers(small_config: Mapping[str, Any], numbers: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        build_model({**small_config, "mask_refiner": numbers})


def test_a_model_takes_a_closer_look_where_its_numbers_say_so(small_config: Mapping[str, Any]) -> None:
    plain = build_model(dict(small_config))
    assert plain.mask_refiner is None
    with pytest.raises(ValueError, match="takes no closer look"):
        plain.refine(torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, 16, 16))
    model = build_model({**small_config, "mask_refiner": {"side": 64, "widths": [8, 8, 16], "layers": 1}}).eval()
    with torch.no_grad():
        said = model.refine(torch.rand(2, 3, 64, 64), torch.rand(2, 4, 16, 16))
    assert said.shape == (2, 16, 16)


LITE = "tf_efficientnet_lite0"


@pytest.fixture
def own_eyes(small_config: Mapping[str, Any]) -> UniVS:
    """A model whose closer look has a trunk of its own."""
    torch.manual_seed(1)
    numbers = {"side": 64, "widths": [8, 8, 16], "layers": 1, "around": [2], "trunk": LITE}
    model = build_model({**small_config, "mask_refiner": numbers}).eval()
    assert model.mask_refiner is not None
    for parameter in model.mask_refiner.parameters():  # what starts as nothing, too
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


@torch.no_grad()
def test_a_trunk_of_its_own_sees_the_squares(own_eyes: UniVS) -> None:
    model, refiner = own_eyes, own_eyes.mask_refiner
    assert refiner is not None and refiner.trunk is not None
    assert [block.first.dilation for block in refiner.around] == [(2, 2)]
    squares, said = torch.randn(2, 3, 64, 64), torch.rand(2, 4, 16, 16)
    maps = refiner.trunk(squares)
    assert [tuple(level.shape[1:]) for level in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4)]
    before = model.refine(squares, said)
    assert before.shape == (2, 16, 16) and before.equal(refiner(maps, said))
    for level in range(3):  # each of them has a say
        raised = [one + (place == level) for place, one in enumerate(maps)]
        assert (refiner(raised, said) - before).abs().max() > 1e-3
    for parameter in model.backbone.parameters():
        parameter.mul_(2)
    assert model.refine(squares, said).equal(before)


def test_a_trunk_begins_as_the_backbone_of_its_kind(own_eyes: UniVS, caplog: pytest.LogCaptureFixture) -> None:
    refiner, squares = own_eyes.mask_refiner, torch.randn(1, 3, 64, 64)
    assert refiner is not None and refiner.trunk is not None
    with torch.no_grad():
        wanted, before = own_eyes.backbone(squares)[:3], refiner.trunk(squares)
        refiner.begin(Backbone("tf_efficientnet_lite2"))
        assert "of another kind than the backbone: it begins as it is" in caplog.text
        assert all(map(torch.equal, refiner.trunk(squares), before))
        refiner.begin(own_eyes.backbone)
        assert all(map(torch.equal, refiner.trunk(squares), wanted))


@torch.no_grad()
def test_cells_are_known_by_their_places() -> None:
    """Without places the layer is torch's own, norms first; with them each cell answers for its place."""
    torch.manual_seed(0)
    own = CellLayer(16)
    theirs = torch.nn.TransformerEncoderLayer(16, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    pairs = [
        (theirs.self_attn, own.attention),
        *zip((theirs.norm1, theirs.norm2), own.norms, strict=True),
        *zip((theirs.linear1, theirs.linear2), own.feed[::2], strict=True),
    ]
    for given, part in pairs:
        for value in given.parameters():
            value += 0.1 * torch.randn_like(value)
        part.load_state_dict(given.state_dict())
    cells, place, order = torch.randn(2, 9, 16), torch.randn(9, 16), torch.randperm(9)
    torch.testing.assert_close(own(cells, torch.zeros(9, 16)), theirs(cells))
    placed = own(cells, place)
    torch.testing.assert_close(own(cells[:, order], place[order]), placed[:, order])
    assert (own(cells[:, order], place) - placed[:, order]).abs().max() > 0.05
