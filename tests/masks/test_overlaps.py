"""What masks share, against their pixels."""

from __future__ import annotations

import numpy as np

from univs.masks.overlaps import areas, box_iou, draw, intersections, mask_iou, merged, share_inside
from univs.masks.rle import Rle, read_mask
from univs.results import encode_rle

SIZE = (10, 12)


def rle(mask: np.ndarray) -> Rle:
    read = read_mask(encode_rle(mask), SIZE, "")
    assert read is not None
    return read


def test_iou_union_and_parts() -> None:
    masks = np.random.default_rng(5).random((5, *SIZE)) < 0.4
    rles = [rle(mask) for mask in masks]
    expected = [[(a & b).sum() / (a | b).sum() for b in masks[3:]] for a in masks[:3]]
    assert np.allclose(mask_iou(rles[:3], rles[3:]), expected)
    assert np.array_equal(draw(merged(rles)), masks.any(0))
    assert np.allclose(share_inside(rles[:4], rles[4]), [(m & masks[4]).sum() / m.sum() for m in masks[:4]])
    assert mask_iou([], rles).shape == (0, 5) and box_iou(rles, []).shape == (5, 0)
    assert share_inside([], rles[0]).shape == (0,) and areas([]).shape == (0,)


def test_any_number_of_masks_is_measured() -> None:
    """pycocotools measures 255 at once."""
    masks = np.random.default_rng(2).random((450, *SIZE)) < 0.3
    rles = [rle(mask) if number % 7 else None for number, mask in enumerate(masks)]
    wanted = [int(mask.sum()) if number % 7 else 0 for number, mask in enumerate(masks)]
    assert areas(rles).tolist() == wanted


def test_pixels_that_are_known_are_not_counted_again() -> None:
    masks = np.random.default_rng(4).random((3, 2, *SIZE)) < 0.5
    tubes = [[rle(mask) for mask in tube] for tube in masks]
    plain = intersections(tubes[:2], tubes[2:])
    known = [2 * areas(tube) for tube in tubes[:2]]  # twice as many as there are: shares stay what they are
    assert np.abs(intersections(tubes[:2], tubes[2:], known) - 2 * plain).max() == 0


def test_shared_pixels_are_whole_numbers() -> None:
    """29 / 100 of 100 pixels is less than 29, as floats go."""
    flat = np.zeros((2, SIZE[0] * SIZE[1]), bool)
    flat[0, :100], flat[1, :29] = True, True
    first, second = (rle(mask.reshape(SIZE)) for mask in flat)
    assert intersections([[first]], [[second]]).tolist() == [[29]]
    assert intersections([[first], [None]], [[second]]).tolist() == [[29], [0]]


def test_boxes_around_masks() -> None:
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 1:4, 1:4], masks[0, 2, 2] = True, False
    masks[1, 1:4, 1:7] = True
    assert np.allclose(box_iou([rle(masks[0])], [rle(masks[1])]), 9 / 18)


def test_tubes_with_gaps_share_the_pixels_that_their_masks_share() -> None:
    rng = np.random.default_rng(1)
    masks = rng.random((5, 4, *SIZE)) < 0.5
    for seen in (np.ones((5, 4), bool), rng.random((5, 4)) < 0.6):
        shown = masks & seen[..., None, None]
        tubes = [[rle(m) if s else None for m, s in zip(*tube, strict=True)] for tube in zip(masks, seen, strict=True)]
        assert [areas(tube).tolist() for tube in tubes] == shown.sum((2, 3)).tolist()
        shared = intersections(tubes[:3], tubes[3:])
        assert shared.tolist() == [[int((a & b).sum()) for b in shown[3:]] for a in shown[:3]]
    assert intersections([], tubes).shape == (0, 5)
