"""Rotated boxes, against outlines that are traced and rectangles that are turned step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from univs.masks.rotated_boxes import convex_hull, enclosed_area, rotated_box, smallest_rectangle


def traced_area(part: np.ndarray) -> float:
    """The outer outline followed pixel by pixel (Moore's neighbours), and the area of that polygon."""
    padded = np.pad(part, 1)
    steps = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    start = tuple(np.argwhere(padded)[0])
    here, came, outline, firsts = start, 6, [start], None
    while True:
        for turn in range(8):
            way = (came + turn) % 8
            there = (here[0] + steps[way][0], here[1] + steps[way][1])
            if padded[there]:
                break
        else:
            return 0.0
        if firsts is None:
            firsts = (here, there)
        elif (here, there) == firsts:
            break
        here, came = there, (way + 5) % 8
        outline.append(here)
    y, x = np.array(outline).T.astype(float)
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2


def blob(seed: int, size: int = 24) -> np.ndarray:
    from scipy.ndimage import gaussian_filter, label

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 1.2)
    parts, count = label(noise > 0.05, np.ones((3, 3)))
    sizes = [(parts == number).sum() for number in range(1, count + 1)]
    return parts == 1 + int(np.argmax(sizes))


@pytest.mark.parametrize("seed", range(12))
def test_the_enclosed_area_is_that_of_the_traced_outline(seed: int) -> None:
    part = blob(seed)
    assert enclosed_area(part) == pytest.approx(traced_area(part)) and part.sum() > 30


def test_lines_enclose_nothing_and_holes_do_not_count() -> None:
    assert enclosed_area(np.eye(5, dtype=bool)) == enclosed_area(np.ones((1, 9), bool)) == 0
    ring = np.ones((7, 9), bool)
    ring[2:5, 3:7] = False
    assert enclosed_area(ring) == 6 * 8
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert enclosed_area(diamond) == 2, "what diagonal neighbours enclose is a hole"


def turned(points: np.ndarray) -> float:
    """The smallest area of a rectangle around points, at any of many angles."""
    areas = []
    for angle in np.linspace(0, math.pi / 2, 4001):
        u = points @ [math.cos(angle), math.sin(angle)]
        v = points @ [-math.sin(angle), math.cos(angle)]
        areas.append((u.max() - u.min()) * (v.max() - v.min()))
    return float(min(areas))


@pytest.mark.parametrize("seed", range(6))
def test_no_rectangle_is_smaller(seed: int) -> None:
    part = blob(seed, 40)
    corners = rotated_box(part, 10)
    assert corners is not None
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    assert float(first @ second) == pytest.approx(0, abs=1e-6)
    area = float(np.linalg.norm(first) * np.linalg.norm(second))
    points = np.argwhere(part)[:, ::-1].astype(float)
    assert area == pytest.approx(turned(points), rel=1e-3)
    inside = (points - corners[0]) @ np.stack([first, second], 1) / [first @ first, second @ second]
    assert inside.min() > -1e-6 and inside.max() < 1 + 1e-6, "nothing of the part lies outside"


def test_the_largest_part_counts() -> None:
    mask = np.zeros((60, 80), bool)
    mask[2:12, 3:20] = True
    mask[30:50, 40:75] = True
    mask[35:45, 45:70] = False
    corners = rotated_box(mask, 100)
    assert corners is not None
    assert sorted(map(tuple, corners.round(6).tolist())) == [(40, 30), (40, 49), (74, 30), (74, 49)]
    assert rotated_box(mask, 19 * 34) is None and rotated_box(np.zeros((5, 5), bool), 0) is None


def test_hulls_of_few_points() -> None:
    assert convex_hull(np.array([[3.0, 4.0], [3.0, 4.0]])).tolist() == [[3, 4]]
    line = convex_hull(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    assert len(line) == 2
    assert smallest_rectangle(np.array([[3.0, 4.0]])).tolist() == [[3, 4]] * 4
    assert np.abs(smallest_rectangle(line)).max() == pytest.approx(3)
    square = convex_hull(np.array([[0.0, 0], [4, 0], [4, 4], [0, 4], [2, 2], [2, 0]]))
    assert len(square) == 4
