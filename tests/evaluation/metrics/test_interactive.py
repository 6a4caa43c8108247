"""The interactive curve and the robot's next frame, by hand. The golden cases are in tests/conformance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.interactive import Curve, Round, next_frame, quality_curve, score


def test_a_curve_by_hand() -> None:
    curve = Curve(np.array([0.0, 2.0, 6.0, 10.0]), np.array([0.0, 0.5, 1.0, 1.0]))
    assert curve.area == pytest.approx((0.5 + 3 + 4) / 10)
    assert [curve.at(t) for t in (1, 4, 8, 60)] == [0.25, 0.75, 1, 1]


def test_objects_weigh_alike_in_the_values_and_samples_in_the_times() -> None:
    figures = {
        ("a", 1): np.array([[[0.2, 0.4], [0.4, 0.6]], [[0.8, 0.8], [0.8, 0.8]]]),  # two interactions, frames, objects
        ("b", 1): np.array([[[0.6], [0.8]]]),  # stopped after one
    }
    rounds = [Round(("a", 1), 1, 4.0, None), Round(("a", 1), 2, 6.0, None), Round(("b", 1), 1, 2.0, None)]
    objects = {("a", 1): 2, ("b", 1): 1, ("b", 2): 1}  # nobody interacted with the last: 0
    curve = quality_curve(figures, rounds, objects, None)
    np.testing.assert_allclose(curve.values, [0, (0.3 + 0.5 + 0.7 + 0) / 4, (0.8 + 0.8 + 0.7 + 0) / 4] + [2.3 / 4])
    np.testing.assert_allclose(curve.times, [0, 2, 4, 12])  # the end: 2 interactions of at most 6 s
    assert quality_curve(figures, rounds, objects, 90.0).times[-1] == 90


def test_the_robot_draws_on_the_worst_frame_without_a_drawing() -> None:
    by_frame = np.array([0.5, 0.2, 0.2, 0.9])
    assert next_frame(by_frame, set()) == 1  # the first of equals
    assert next_frame(by_frame, {1}) == 2
    assert next_frame(by_frame, {1, 2}) == 0
    assert next_frame(by_frame, {0, 1, 2, 3}) == 1  # all drawn on: as if none
    assert next_frame(by_frame, set(), (3, 0)) == 0
    assert next_frame(by_frame, {0}, (3, 0)) == 3
    assert next_frame(by_frame, {0, 3}, (3, 0)) == 0  # from the candidates again
    assert next_frame(by_frame, set(), (17,)) == 1  # no such frame: as if not given


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """One sequence of three frames with one object and two scribbles; one interaction, right on two frames."""
    truth = np.zeros((20, 30), np.uint8)
    truth[4:12, 5:15] = 1
    folder = tmp_path / "DAVIS" / "Annotations" / "480p" / "s"
    folder.mkdir(parents=True)
    for t in range(3):
        Image.fromarray(truth).save(folder / f"{t:05d}.png")
    (tmp_path / "predictions").mkdir()
    np.savez(tmp_path / "predictions" / "s_001.npz", masks=np.stack([truth, truth * 0, truth])[None])
    told = {"s": {"num_frames": 3, "num_objects": 1, "num_scribbles": 2, "image_size": [30, 20]}}
    (tmp_path / "dataset.json").write_text(json.dumps({"sequences": told}))
    rewrite(tmp_path)
    return tmp_path


def rewrite(case: Path, **changes: Any) -> None:
    submitted = {"sequence": "s", "scribble_idx": 1, "interaction": 1, "timing": 5.0, "candidates": None}
    told = {"max_i": 4, "max_t": 30, "metric": "J_AND_F", "time_threshold": 2.5, "rounds": [submitted], **changes}
    (case / "rounds.json").write_text(json.dumps(told))


def test_a_session_from_files(case: Path) -> None:
    scores = score(case, case / "predictions")
    summary = scores.figures["global_summary"]
    np.testing.assert_allclose(summary["curve"]["time"], [0, 2.5, 30])  # 5 s for one of two samples; 30 s an object
    assert summary["metric_at_threshold"] == {"threshold": 2.5, "J_AND_F": pytest.approx(1 / 3)}
    assert scores.figures["steps"][0]["next_frame"] == 1
    assert scores.figures["steps"][0]["jaccard_mean"] == pytest.approx(2 / 3)
    area = (2.5 / 2 + 27.5) * (1 / 3) / 30
    assert scores.summary == {"AUC": pytest.approx(area), "J_AND_F@2.5s": pytest.approx(1 / 3)}
    assert scores.rows == {"s_001": {"J_AND_F 1": pytest.approx(2 / 3)}}


def test_bad_files_are_named(case: Path) -> None:
    rewrite(case, rounds=[{"sequence": "s", "scribble_idx": 1, "interaction": 2, "timing": 5.0}])
    with pytest.raises(UserError, match="interaction 2 of s with scribble 1; expected 1"):
        score(case, case / "predictions")
    rewrite(case, rounds=[{"sequence": "s", "scribble_idx": 3, "interaction": 1, "timing": 5.0}])
    with pytest.raises(UserError, match="no scribble 3 of sequence s"):
        score(case, case / "predictions")
    rewrite(case, metric="K")
    with pytest.raises(UserError, match="metric K; there are J, F, J_AND_F"):
        score(case, case / "predictions")
    rewrite(case)
    np.savez(case / "predictions" / "s_001.npz", masks=np.zeros((1, 2, 20, 30), np.uint8))
    with pytest.raises(UserError, match="expected masks of 1 interactions on 3 frames"):
        score(case, case / "predictions")
    np.savez(case / "predictions" / "s_001.npz", masks=np.full((1, 3, 20, 30), 4, np.uint8))
    with pytest.raises(UserError, match="holds id 4; s has the objects 1 to 1"):
        score(case, case / "predictions")
    (case / "predictions" / "s_001.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"s_001\.npz cannot be read"):
        score(case, case / "predictions")


@pytest.mark.parametrize("masks", [np.ones((1, 3, 20, 30)), np.full((1, 3, 20, 30), "1")])
def test_masks_that_are_no_whole_numbers_are_refused(masks: np.ndarray, case: Path) -> None:
    np.savez(case / "predictions" / "s_001.npz", masks=masks)
    with pytest.raises(
        UserError, match=rf"s_001\.npz holds an array of {masks.dtype}; expected whole numbers".replace("<", ".")
    ):
        score(case, case / "predictions")


def test_an_array_under_the_name_of_an_archive_is_refused(case: Path) -> None:
    with open(case / "predictions" / "s_001.npz", "wb") as file:
        np.save(file, np.ones((1, 3, 20, 30), np.uint8))
    with pytest.raises(
        UserError, match=r"s_001\.npz cannot be read \(a single array and no \.npz file\); expected masks"
    ):
        score(case, case / "predictions")


def test_a_damaged_archive_is_refused_wherever_it_is_damaged(case: Path) -> None:
    path = case / "predictions" / "s_001.npz"
    np.savez_compressed(path, masks=np.random.default_rng(0).integers(0, 2, (1, 3, 20, 30), np.uint8))
    whole = path.read_bytes()
    for place in range(80, 200):  # of the packed numbers, whose decoder has errors of its own
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"s_001\.npz cannot be read"):
            score(case, case / "predictions")
