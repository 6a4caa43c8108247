"""The robot: where it scribbles and clicks, on shapes whose middle is known."""

from __future__ import annotations

import numpy as np
import pytest

from univs.interactive.interactions import Click
from univs.interactive.robot import longest_paths, opening, robot_click, robot_scribbles, skeleton_paths


def test_scribbles_go_along_what_is_wrong() -> None:
    truth, prediction = np.zeros((80, 120), np.uint8), np.zeros((80, 120), np.uint8)
    truth[20:30, 10:110] = 1  # missed
    prediction[60:70, 10:110] = 2  # wrongly there: for the robot that is missed background
    truth[40:50, 10:60] = prediction[40:50, 10:60] = 2
    background, first = robot_scribbles(truth, prediction, [1, 2])
    assert (background.object_id, first.object_id) == (0, 1)
    for scribble, row in ((background, 64.5), (first, 24.5)):
        xy = scribble.path * (120, 80)
        assert len(xy) == 1000 and (scribble.path >= 0).all() and (scribble.path <= 1).all()
        assert np.abs(xy[100:-100, 1] - row).max() <= 2
        assert np.ptp(xy[:, 0]) > 80
    assert robot_scribbles(truth, truth, [1, 2]) == []


def test_each_wrong_region_gets_a_scribble() -> None:
    truth = np.zeros((60, 120), np.uint8)
    truth[20:40, 10:40] = truth[20:40, 70:110] = 1
    paths = [scribble.path for scribble in robot_scribbles(truth, np.zeros_like(truth), [1])]
    assert sorted(round(float(path[:, 0].mean() * 120) / 10) for path in paths) == [2, 9]


def test_thin_things_are_cut_off_unless_there_is_nothing_else() -> None:
    region = np.zeros((100, 100), bool)
    region[20:80, 20:80] = True
    region[50, 80:99] = True
    opened = opening(region)
    assert not opened[:, 81:].any() and opened[30:70, 21:79].all()
    line = np.zeros((100, 100), bool)
    line[50, 10:90] = True
    assert np.array_equal(opening(line), line)
    assert not opening(np.zeros((9, 9), bool)).any()
    assert opening(np.ones((9, 9), bool)).all()


def test_opening_against_a_slow_disc() -> None:
    rng = np.random.default_rng(1)
    region = np.kron(rng.random((6, 8)) < 0.6, np.ones((7, 7), bool))
    radius = min(0.2 * np.sqrt(region.sum()) / 2, 16)
    y, x = np.mgrid[:42, :56]

    def disc(cy: int, cx: int) -> np.ndarray:
        return (y - cy) ** 2 + (x - cx) ** 2 <= radius**2

    expected = np.zeros_like(region)
    for cy, cx in np.argwhere(region):
        if not (disc(cy, cx) & ~region).any():
            expected |= disc(cy, cx)
    assert np.array_equal(opening(region), expected)


def test_the_longest_path_of_a_skeleton() -> None:
    skeleton = np.zeros((30, 40), bool)
    skeleton[10, 2:35] = True  # the stem
    skeleton[3:10, 20] = True  # a short branch
    skeleton[25, 5:8] = True  # three pixels: left out
    (path,) = longest_paths(skeleton)
    assert {tuple(p) for p in path.tolist()} == {(x, 10) for x in range(2, 35)}
    assert sorted((path[0, 0], path[-1, 0])) == [2, 34]


def test_cycles_are_cut() -> None:
    skeleton = np.zeros((30, 40), bool)
    skeleton[5, 5:25] = skeleton[20, 5:25] = skeleton[5:21, 5] = skeleton[5:21, 24] = True
    (path,) = longest_paths(skeleton)
    assert len({tuple(p) for p in path.tolist()}) == len(path)  # no pixel twice
    assert skeleton[path[:, 1], path[:, 0]].all()
    assert (np.abs(np.diff(path, axis=0)).max(1) == 1).all()
    assert len(path) > 50


def test_paths_stay_in_what_is_wrong() -> None:
    rng = np.random.default_rng(3)
    region = np.kron(rng.random((5, 7)) < 0.5, np.ones((12, 12), bool))
    paths = skeleton_paths(region)
    assert paths and all(region[path[:, 1], path[:, 0]].all() for path in paths)


def test_clicks_fall_in_the_middle_of_the_largest_wrong_region() -> None:
    truth, prediction = np.zeros((50, 60), bool), np.zeros((50, 60), bool)
    truth[10:21, 10:21] = True
    prediction[30:35, 30:35] = True
    assert robot_click(truth, prediction) == Click(15, 15, True)
    prediction[25:46, 25:46] = True
    assert robot_click(truth, prediction) == Click(35, 35, False)
    truth[:] = prediction
    assert robot_click(truth, prediction) is None
    edge = np.zeros((50, 60), bool)
    edge[:9, 10:19] = True  # the border of the frame is an edge as well
    assert robot_click(edge, np.zeros_like(edge)) == Click(14, 4, True)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_scribble(seed: int) -> None:
    truth = np.zeros((60, 60), np.uint8)
    truth[10:50, 10:50] = 1
    first, again = (robot_scribbles(truth, np.zeros_like(truth), [1], seed=seed) for _ in range(2))
    assert np.array_equal(first[0].path, again[0].path)
