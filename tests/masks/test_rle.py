"""Masks of files in all their forms against pycocotools, and everything that is no mask."""

from __future__ import annotations

import json
from array import array
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from univs.errors import UserError
from univs.masks.overlaps import draw
from univs.masks.rle import counts_as_text, own_size, read_mask, read_masks, read_sized

SIZE = (6, 9)


def code_of(mask: np.ndarray) -> dict[str, Any]:
    rle = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def runs_of(mask: np.ndarray) -> list[int]:
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs: list[int] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def test_every_form_of_a_mask_is_read() -> None:
    rng = np.random.default_rng(3)
    masks = rng.random((40, *SIZE)) < 0.5
    forms: list[Any] = []
    for k, mask in enumerate(masks):
        code, runs = code_of(mask), {"size": list(SIZE), "counts": runs_of(mask)}
        text = json.loads(counts_as_text(json.dumps(runs, indent=1).encode()))
        packed = {"size": SIZE, "counts": code["counts"].encode()}
        forms.append([code, runs, text, packed, {**runs, "counts": array("i", runs_of(mask))}][k % 5])
    forms[10:12] = [None, []]
    forms[12] = [[2, 1, 7, 1, 7, 5, 2, 5]]
    masks[10:13] = False
    masks[12, 1:5, 2:7] = True
    read = read_masks(forms, SIZE, str)
    assert read.areas.tolist() == masks.sum((1, 2)).tolist()
    assert [k for k, rle in enumerate(read.rles) if rle is None] == [10, 11]
    for mask, rle in zip(masks, read.rles, strict=True):
        assert rle is None or np.array_equal(draw(rle), mask)


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        ({"size": [6, 9], "counts": "b'0f1'"}, 'counts .* hold "\'".*; expected run lengths that add up to the 6 x 9'),
        ({"size": [6, 9], "counts": ""}, "are empty"),
        ({"size": [6, 9], "counts": "not rle at all"}, "hold 't'"),
        ({"size": [6, 9], "counts": "é中"}, "hold 'é'"),
        ({"size": [6, 9], "counts": "é中".encode()}, "hold"),
        ({"size": [6, 9], "counts": [54.0]}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": [True]}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": [True, 53]}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": [[54]]}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": ["54"]}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": [10**30, 4]}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": ",54,x"}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": {"54": 1}}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": 54}, "neither compressed text nor a list of whole numbers"),
        ({"size": [6, 9], "counts": []}, "no run lengths"),
        ({"size": [6, 9], "counts": [60, -6]}, "a run length is 60|a run length is -6"),
        ({"size": [6, 9], "counts": [53]}, "add up to 53 pixels; expected .* 6 x 9 pixels"),
        ({"size": [6, 9], "counts": [2**62, 5]}, "a run length is"),
        ({"size": [9, 6], "counts": [54]}, "size 9 x 6; expected 6 x 9"),
        ({"size": [6], "counts": [54]}, r"size \[6\]; expected 6 x 9"),
        ({"size": "6x9", "counts": [54]}, "size '6x9'; expected 6 x 9"),
        ({"size": [6, 9]}, "is no RLE"),
        ({"counts": [54]}, "is no RLE"),
        ({}, "is no RLE"),
        ("", "a mask is ''; expected polygons, an RLE"),
        (0, "a mask is 0; expected"),
        ([1, 2, 3, 4, 5, 6], "no list of numbers"),
        ([[1, 2, float("nan"), 4, 5, 6]], "no finite number"),
        ([[1, 2, True, 4, 5, 6]], "no list of numbers"),
        ([[0] * 9 for _ in range(6)], "written out pixel by pixel"),
        ([array("d", [0] * 9) for _ in range(6)], "written out pixel by pixel"),
    ],
)
def test_what_is_no_mask_is_refused_in_one_line(mask: Any, why: str) -> None:
    good = code_of(np.eye(*SIZE, dtype=bool))
    with pytest.raises(UserError, match=f"^file, mask 1: .*{why}") as caught:
        read_masks([good, mask, good], SIZE, lambda place: f"file, mask {place}")
    assert "\n" not in str(caught.value)


def test_counts_of_another_frame_size_are_refused() -> None:
    other = {**code_of(np.eye(5, 9, dtype=bool)), "size": [6, 9]}
    with pytest.raises(UserError, match="add up to 45 pixels"):
        read_mask(other, SIZE, "a mask")


def test_empty_runs_do_not_change_what_masks_share() -> None:
    """pycocotools ends its comparison of two masks where both have an empty run."""
    mask = {"size": [6, 9], "counts": [10, 0, 10, 20, 14]}
    packed = {**mask, "counts": rle_tools.frPyObjects(mask, *SIZE)["counts"].decode()}
    for form in (mask, packed):
        rle = read_mask(form, SIZE, "a mask")
        assert rle is not None and draw(rle).sum() == 20
        assert rle_tools.iou([rle], [rle], [0]) == 1


def test_lists_of_counts_become_texts_and_nothing_else_does() -> None:
    assert counts_as_text(b'{"counts" :\n [1,\n 2], "a": [3]}') == b'{"counts" :\n ",1,2", "a": [3]}'
    for other in (b'{"counts": [1, "a"]}', b'{"counts": "abc"}', b'{"size": [1, 2]}'):
        assert counts_as_text(other) == other


def test_no_mask_is_larger_than_its_counts_can_say() -> None:
    assert read_mask(None, (1, 2**29 - 1), "a mask") is None
    for size in ((0, 5), (-1, 5), (2**20, 2**20), (1, 2**29)):
        with pytest.raises(UserError, match="no mask can have"):
            read_mask(None, size, "a mask")


def test_masks_of_several_sizes_are_told_apart_by_what_they_say() -> None:
    sizes = [(3, 4), (5, 6), (3, 4)]
    masks: list[Any] = [code_of(np.eye(*size, dtype=bool)) for size in sizes]
    read = read_sized([masks[0], None, *masks[1:]], str)
    assert [None if rle is None else draw(rle).shape for rle in read] == [(3, 4), None, (5, 6), (3, 4)]
    with pytest.raises(UserError, match="^2: .*add up to 30 pixels"):
        read_sized([*masks[:2], {**masks[1], "size": [7, 7]}], str)
    for broken in ([1], {"size": [3.0, 4], "counts": ""}, {"size": [3], "counts": ""}, {"counts": ""}):
        with pytest.raises(UserError, match="here: a mask is no RLE"):
            own_size(broken, "here")
