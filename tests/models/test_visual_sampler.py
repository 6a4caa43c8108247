from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.errors import UserError
from univs.models.position import bands, map_embedding, point_embedding
from univs.models.visual_sampler import SampledMap, VisualSampler, extreme_cells, spread_cells, time_embedding

DIM = 8


@pytest.fixture
def source() -> SampledMap:
    """A map of 8 x 12 cells (64 x 96 pixels) whose first two channels are the row and the column of the cell."""
    row, column = torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij")
    features = torch.cat([row[None], column[None], torch.randn(DIM - 2, 8, 12)])
    return SampledMap(features[None], torch.linspace(0, 1, DIM))


def sampler(**options: Any) -> VisualSampler:
    given: dict[str, Any] = {"tokens": 6, "sign_embedding": False, "kind_embedding": False, **options}
    return VisualSampler(DIM, **given)


def cells_of(features: Tensor) -> set[tuple[int, int]]:
    return {(int(row), int(column)) for row, column in features[:, :2].round().tolist()}


class FirstDraws:
    """Draws that always take what comes first, and the middle."""

    def permutation(self, length: int) -> Tensor:
        return torch.arange(length)

    def uniform(self, *shape: int) -> Tensor:
        return torch.full(shape, 0.5)


def test_spread_cells_are_inside_distinct_and_spread() -> None:
    inside = torch.zeros(2, 32, 32, dtype=torch.bool)
    inside[0, 8:24, 8:24] = True
    inside[1, 3, 5:9] = True
    cells = spread_cells(inside, 16)
    assert inside.flatten(1).gather(1, cells).all()
    rows, columns = cells[0] // 32, cells[0] % 32
    assert len(set(cells[0].tolist())) == 16
    quarters = {(int(r) // 4, int(c) // 4) for r, c in zip(rows, columns, strict=True)}
    assert len(quarters) == 16  # one in each 4 x 4 block of the square
    assert torch.equal(cells[1].unique(return_counts=True)[1], torch.full((4,), 4))


def test_choice_does_not_depend_on_other_objects(source: SampledMap) -> None:
    masks = torch.zeros(2, 64, 96)
    masks[0, :32, :40] = 1
    masks[1, 30:60, 50:90] = 1
    both = sampler().encode_masks(source, masks)
    alone = sampler().encode_masks(source, masks[1:])
    assert torch.equal(both.features[1], alone.features[0])


def test_mask_tokens_are_features_and_positions_of_covered_cells(source: SampledMap) -> None:
    mask = torch.zeros(1, 64, 96, dtype=torch.bool)
    mask[0, 8:24, 16:32] = True  # rows 1, 2 and columns 2, 3 of the map, exactly
    tokens = sampler().encode_masks(source, mask)
    assert cells_of(tokens.features[0]) == {(1, 2), (1, 3), (2, 2), (2, 3)}
    row, column = tokens.features[0, :, 0].long(), tokens.features[0, :, 1].long()
    expected = map_embedding(8, 12, DIM, torch.device("cpu"))[row, column] + source.time
    assert torch.allclose(tokens.positions[0], expected)


def test_a_mask_of_one_pixel_keeps_its_cell(source: SampledMap) -> None:
    masks = torch.zeros(2, 64, 96)
    masks[0, 33, 50] = 1
    masks[1] = 1
    tokens = sampler().encode_masks(source, masks)
    assert cells_of(tokens.features[0]) == {(4, 6)}


def test_official_masks_take_every_eighth_pixel_in_the_drawn_order(source: SampledMap) -> None:
    masks = torch.zeros(2, 64, 96)
    masks[0, 1:18, 1:26] = 1  # pixels 8, 16 in y and 8, 16, 24 in x
    masks[1, 0:25, 0:1] = 1
    tokens = sampler(cells="official").encode_masks(source, masks, FirstDraws())
    found = tokens.features[0, :, :2].round().int().tolist()
    assert found == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]
    # fewer cells than tokens: repeated in turn
    assert tokens.features[1, :, 0].round().int().tolist() == [0, 1, 2, 3, 0, 1]


def test_official_mask_that_vanishes_keeps_a_position_only(source: SampledMap) -> None:
    masks = torch.zeros(2, 64, 96)
    masks[0, 9:14, 17:22] = 1
    masks[1] = 1
    tokens = sampler(cells="official").encode_masks(source, masks, FirstDraws())
    assert not tokens.features[0].any() and tokens.valid[0].all()
    # box 17..21 x 9..13 with centre (19, 11): the first pixel centre within a quarter of its size 4 is (18.5, 10.5)
    expected = point_embedding(torch.tensor([18.5 / 96, 10.5 / 64]), DIM) + source.time
    assert torch.allclose(tokens.positions[0], expected.expand(6, -1), atol=1e-6)


def test_absent_objects_are_blank(source: SampledMap) -> None:
    masks = torch.zeros(2, 64, 96)
    masks[0, 20:50, 20:60] = 1
    found = [
        sampler(kind_embedding=True).encode_masks(source, masks),
        sampler(kind_embedding=True).encode_boxes(source, torch.tensor([[10.0, 10, 40, 40], [0, 0, 0, 0]])),
        sampler().encode_points(source, torch.tensor([[[10.0, 10]], [[-5, 10]]]), torch.ones(2, 1)),
        sampler(points="repeat").encode_points(source, torch.tensor([[[10.0, 10]], [[-5, 10]]]), torch.ones(2, 1)),
    ]
    for tokens in found:
        assert tokens.valid[0].all() and not tokens.valid[1].any()
        assert tokens.features[0].any() and not tokens.features[1].any() and not tokens.positions[1].any()


def test_boxes_cover_cells_by_their_centres(source: SampledMap) -> None:
    # centres at 4, 12, 20, ...: x 12 and 20, y 12
    tokens = sampler().encode_boxes(source, torch.tensor([[11.0, 6, 21, 19]]))
    assert cells_of(tokens.features[0]) == {(1, 1), (1, 2)}


def test_official_boxes_are_moved_by_one_cell(source: SampledMap) -> None:
    # 1.2..2.7 in x and 0.5..1.5 in y, in cells: columns 2, 3 and rows 1, 2
    boxes = torch.tensor([[1.2, 0.5, 2.7, 1.5]]) * 8
    tokens = sampler(cells="official").encode_boxes(source, boxes, FirstDraws())
    assert cells_of(tokens.features[0]) == {(1, 2), (1, 3), (2, 2), (2, 3)}


def test_extreme_cells_are_the_outermost_ones() -> None:
    """Against all cells sorted; a lopsided shape, whose four are distinct, and single cells."""
    inside = torch.zeros(6, 9, dtype=torch.bool)
    for y, x in [(4, 1), (3, 1), (1, 4), (1, 3), (2, 7), (4, 7), (5, 5), (5, 2), (3, 3)]:
        inside[y, x] = True
    cells = inside.nonzero().tolist()
    want = [
        min(cells, key=lambda c: (c[1], c[0])),
        min(cells, key=lambda c: (c[0], c[1])),
        min(cells, key=lambda c: (-c[1], c[0])),
        min(cells, key=lambda c: (-c[0], c[1])),
    ]
    assert want == [[3, 1], [1, 3], [2, 7], [5, 2]]
    assert extreme_cells(inside).tolist() == [y * 9 + x for y, x in want]
    alone = torch.zeros(6, 9, dtype=torch.bool)
    alone[2, 5] = True
    assert extreme_cells(alone).tolist() == [23] * 4


@pytest.mark.parametrize("draws", [None, FirstDraws()])
def test_extreme_cells_come_first_where_there_are_enough(source: SampledMap, draws: FirstDraws | None) -> None:
    masks = torch.zeros(2, 64, 96)
    masks[0, 8:40, 16:72] = 1  # rows 1..4, columns 2..8
    masks[1, :8, :40] = 1  # five cells for six tokens
    plain = sampler(cells="official").encode_masks(source, masks, draws)
    tokens = sampler(cells="official").encode_masks(source, masks, draws, extremes=True)
    assert tokens.features[0, :4, :2].round().int().tolist() == [[1, 2], [1, 2], [1, 8], [4, 2]]
    assert torch.equal(tokens.features[0, 4:], plain.features[0, 4:])
    assert torch.equal(tokens.features[1], plain.features[1])
    boxes = torch.tensor([[8.0, 0, 64, 24]])  # moved by one: rows 1..3, columns 2..8
    of_box = sampler(cells="official").encode_boxes(source, boxes, draws, extremes=True)
    assert of_box.features[0, :4, :2].round().int().tolist() == [[1, 2], [1, 2], [1, 8], [3, 2]]


def test_moved_boxes_give_cells_and_the_box_itself_its_middle(source: SampledMap) -> None:
    boxes, moved = (
        torch.tensor([[8.0, 8, 24, 24], [30, 30, 31, 31]]),
        torch.tensor([[40.0, 8, 56, 16], [29, 30, 30, 31]]),
    )
    tokens = sampler().encode_boxes(source, boxes, moved=moved)
    assert cells_of(tokens.features[0]) == {(1, 5), (1, 6)}
    # no centre of a cell in it: the middle of the box, not of the moved one
    assert torch.allclose(tokens.features[1, 0, :2], torch.tensor([30.5 / 8 - 0.5, 30.5 / 8 - 0.5]), atol=1e-5)
    gone = sampler().encode_boxes(source, torch.zeros(1, 4), moved=moved[:1])
    assert not gone.valid.any()


def test_a_box_between_the_centres_reads_its_middle(source: SampledMap) -> None:
    tokens = sampler().encode_boxes(source, torch.tensor([[21.0, 30, 25, 34]]))
    assert torch.allclose(tokens.features[0, 0, :2], torch.tensor([32 / 8 - 0.5, 23 / 8 - 0.5]), atol=1e-5)
    assert (tokens.features[0] == tokens.features[0, :1]).all()


def test_points_are_sampled_bilinearly_at_pixel_coordinates(source: SampledMap) -> None:
    tokens = sampler().encode_points(source, torch.tensor([[[20.0, 30.0], [44.0, 4.0]]]), torch.ones(1, 2))
    expected = torch.tensor([[30 / 8 - 0.5, 20 / 8 - 0.5], [0, 5.0]])
    assert torch.allclose(tokens.features[0, :, :2], expected, atol=1e-5)
    places = point_embedding(torch.tensor([[20 / 96, 30 / 64], [44 / 96, 4 / 64]]), DIM) + source.time
    assert torch.allclose(tokens.positions[0], places, atol=1e-6)


def test_official_points_repeat_one_feature(source: SampledMap) -> None:
    points = torch.tensor([[[20.0, 30.0], [0, 0]], [[0, 0], [44.0, 4.0]]])
    labels = torch.tensor([[1, -1], [-1, 1]])
    tokens = sampler(points="repeat").encode_points(source, points, labels)
    assert tokens.features.shape == (2, 6, DIM) and tokens.valid.all()
    single = sampler().encode_points(source, torch.tensor([[[20.0, 30.0]], [[44.0, 4.0]]]), torch.ones(2, 1))
    assert torch.equal(tokens.features, single.features.expand(-1, 6, -1))


def test_another_number_of_tokens(source: SampledMap) -> None:
    boxes, points = torch.tensor([[8.0, 8, 60, 60]]), torch.tensor([[[20.0, 30.0]]])
    masks = torch.ones(1, 64, 96)
    for found in (
        sampler().encode_masks(source, masks, tokens=9),
        sampler().encode_boxes(source, boxes, tokens=9),
        sampler(points="repeat").encode_points(source, points, torch.ones(1, 1), 9),
    ):
        assert found.features.shape == (1, 9, DIM) and found.valid.tolist() == [[True] * 9]


def test_negative_points_need_a_learned_sign(source: SampledMap) -> None:
    points, labels = torch.tensor([[[20.0, 30.0], [44.0, 4.0]]]), torch.tensor([[1, 0]])
    with pytest.raises(UserError, match="positive points only"):
        sampler().encode_points(source, points, labels)
    signed = sampler(sign_embedding=True)
    difference = (
        signed.encode_points(source, points, labels).features
        - signed.encode_points(source, points, torch.ones(1, 2, dtype=torch.long)).features
    )
    assert signed.sign_embedding is not None
    assert not difference[0, 0].any()
    assert torch.allclose(difference[0, 1], signed.sign_embedding[0] - signed.sign_embedding[1], atol=1e-5)


def test_gradient_reaches_learned_embeddings_but_not_the_image(source: SampledMap) -> None:
    features = source.features.clone().requires_grad_()
    signed = sampler(sign_embedding=True)
    tokens = signed.encode_points(
        SampledMap(features, source.time), torch.tensor([[[20.0, 30.0], [0, 0]]]), torch.tensor([[0, -1]])
    )
    tokens.features.sum().backward()
    assert signed.sign_embedding is not None and signed.sign_embedding.grad is not None
    assert torch.equal(signed.sign_embedding.grad, torch.stack([torch.ones(DIM), torch.zeros(DIM)]))
    assert features.grad is None


def test_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match="covered or official"):
        sampler(cells="some")
    with pytest.raises(ValueError, match="tokens or repeat"):
        sampler(points="some")


def test_time_embedding_kinds() -> None:
    def slow_sine(value: float) -> list[float]:
        phases = [value / 10000 ** (2 * k / 8) for k in range(4)]
        return [wave(phase) for phase in phases for wave in (math.sin, math.cos)]

    cpu = torch.device("cpu")
    fixed = time_embedding([5, 9], 8, "fixed", cpu)
    arbitrary = time_embedding([5, 9], 8, "arbitrary", cpu)
    for place, (row, index) in enumerate(zip(arbitrary, (5, 9), strict=True)):
        assert torch.allclose(row, torch.tensor(slow_sine(index / 128 * 2 * math.pi)), atol=1e-5)
        expected = slow_sine((place + 1) / (2 + 1e-6) * 2 * math.pi)
        assert torch.allclose(fixed[place], torch.tensor(expected), atol=1e-5)
    assert not time_embedding([5, 9], 8, "none", cpu).any()
    with pytest.raises(ValueError, match="none, fixed, arbitrary"):
        time_embedding([0], 8, "never", cpu)


def test_masks_and_boxes_are_told_apart_by_what_is_learnt_of_each(source: SampledMap) -> None:
    plain, learnt = sampler(), sampler(kind_embedding=True)
    mask, box = torch.zeros(1, 64, 96), torch.tensor([[8.0, 8, 40, 40]])
    mask[0, 8:40, 8:40] = 1
    points, labels = torch.tensor([[[20.0, 30.0]]]), torch.ones(1, 1)
    assert learnt.kind_embedding is not None
    of_mask, of_box, nothing = (
        getattr(learnt, name)(source, *said).features - getattr(plain, name)(source, *said).features
        for name, said in (("encode_masks", [mask]), ("encode_boxes", [box]), ("encode_points", [points, labels]))
    )
    torch.testing.assert_close(of_mask, learnt.kind_embedding[0].expand(1, 6, -1))
    torch.testing.assert_close(of_box, learnt.kind_embedding[1].expand(1, 6, -1))
    assert not nothing.any()


def test_tokens_know_their_places_where_that_is_learnt(source: SampledMap) -> None:
    """Cells by their middle, points by themselves; a box between the cells by its middle."""
    plain, learnt = sampler(tokens=1), sampler(tokens=1, position_bands=3)
    mask = torch.zeros(1, 64, 96)
    mask[0, 16:24, 40:48] = 1
    boxes = torch.tensor([[40.0, 16, 48, 24], [21, 30, 25, 34]])
    points, labels = torch.tensor([[[20.0, 30.0], [80.0, 4.0]]]), torch.ones(1, 2)
    assert learnt.place is not None
    for name, said, places in (
        ("encode_masks", [mask], [[(44, 20)]]),
        ("encode_boxes", [boxes], [[(44, 20)], [(23, 32)]]),
        ("encode_points", [points, labels], [[(20, 30), (80, 4)]]),
    ):
        added = getattr(learnt, name)(source, *said).features - getattr(plain, name)(source, *said).features
        wanted = learnt.place(bands(torch.tensor(places) / torch.tensor([96.0, 64.0]), 3))
        torch.testing.assert_close(added, wanted, atol=1e-5, rtol=0)
