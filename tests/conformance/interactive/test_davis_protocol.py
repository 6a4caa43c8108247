"""The DAVIS interactive tools: curves, lines, scribbles as maps, the robot, J and F, against the golden figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from univs.evaluation.metrics.davis import boundary_f, jaccard
from univs.interactive.curves import bezier, bresenham, draw_paths
from univs.interactive.robot import robot_scribbles

pytestmark = [pytest.mark.conformance, pytest.mark.files("davis_protocol*")]


def paths_of(golden: Any) -> list[tuple[int, np.ndarray]]:
    numbers = sorted(int(name[8:-5]) for name in golden if name.startswith("scribble") and name.endswith("_path"))
    return [(int(golden[f"scribble{n}_object"]), golden[f"scribble{n}_path"]) for n in numbers]


def test_curves_and_lines(golden: Any) -> None:
    official = golden["bezier_out"]
    assert np.abs(bezier(golden["bezier_in"], len(official))[::-1] - official).max() < 1e-9  # the tool runs backwards
    pixels = golden["bresenham_out"]  # the tool counts where lines meet twice
    once = np.concatenate([pixels[:1], pixels[1:][(np.diff(pixels, axis=0) != 0).any(1)]])
    assert np.array_equal(bresenham(golden["bresenham_in"]), once)


def test_scribbles_as_maps(golden: Any) -> None:
    paths, size = paths_of(golden), golden["scribbles2mask_default"].shape
    assert np.array_equal(draw_paths(paths, size), golden["scribbles2mask_default"])
    assert np.array_equal(draw_paths(paths, size, "points"), golden["scribbles2mask_points_only"])
    backwards = [(label, path[::-1]) for label, path in paths]
    curves = draw_paths(backwards, size, "curves")
    assert (curves != golden["scribbles2mask_bezier"]).sum() <= 0.02 * (golden["scribbles2mask_bezier"] >= 0).sum()


def test_figures_of_frames(golden: Any) -> None:
    truth, prediction = golden["gt"], golden["pred"]
    for t, o in np.ndindex(*golden["J_per_frame_object"].shape):
        true, shown = truth[t] == o + 1, prediction[t] == o + 1
        assert jaccard(shown, true) == pytest.approx(golden["J_per_frame_object"][t, o], abs=1e-6)
        assert boundary_f(shown, true) == pytest.approx(golden["F_per_frame_object"][t, o], abs=1e-6)
        assert boundary_f(shown, true, 0.02) == pytest.approx(golden["F_boundary_0p02"][t, o], abs=1e-6)


def test_the_robot_scribbles_where_the_official_one_does(golden: Any) -> None:
    """The skeleton takes pixels in another order: paths need not be equal, but run through the same places."""
    t, factor = int(golden["robot_frame"]), int(golden["robot_upsample"])
    truth, prediction = (np.kron(golden[name][t], np.ones((factor, factor), np.uint8)) for name in ("gt", "pred"))
    height, width = truth.shape
    numbers = sorted({int(o) for o in golden["robot_objects"]})
    found = robot_scribbles(truth, prediction, [o for o in numbers if o], samples=100)
    assert [scribble.object_id for scribble in found] == golden["robot_objects"].tolist()
    for n, scribble in enumerate(found):
        official = golden[f"robot_path{n}"] * (width, height)
        ours = scribble.path * (width, height)
        apart = np.sqrt(((official[:, None] - ours[None]) ** 2).sum(2))
        print(
            f"object {scribble.object_id}: ends {apart[0].min():.1f} {apart[-1].min():.1f}, {apart.min(1).mean():.1f}"
        )
        assert apart.min(1).mean() < 0.01 * np.hypot(height, width)
