"""Expressions: what they mean, which frames count, what is missing. The golden cases are in tests/conformance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.davis import boundary_f, jaccard
from univs.evaluation.metrics.expressions import score

SIZE = (24, 32)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def runs(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed RLE: lengths of runs down the columns, the first of zeros."""
    flat = np.concatenate([[False], mask.T.reshape(-1), [mask.T.reshape(-1)[-1] ^ True]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], changes])).tolist()}


LEFT, RIGHT = box(3, 2, 13, 12), box(8, 18, 20, 28)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """Expression 0 means the left box, expression 1 both; the left one is gone on the last of three frames."""
    frames = ["00000", "00001", "00002"]
    told = {"0": {"exp": "the left one", "anno_id": [5]}, "1": {"exp": "both", "anno_id": [5, 6]}}
    meta = {"videos": {"v": {"frames": frames, "expressions": told}}}
    (tmp_path / "meta_expressions.json").write_text(json.dumps(meta))
    masks = {"5": [runs(LEFT), runs(LEFT), None], "6": [runs(RIGHT)] * 3}
    (tmp_path / "mask_dict.json").write_text(json.dumps(masks))
    for expression, shown in (("0", LEFT), ("1", LEFT | RIGHT)):
        for frame in frames:
            path = tmp_path / "predictions" / "v" / expression / f"{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((shown * 77).astype(np.uint8)).save(path)
    return tmp_path


def test_an_expression_means_all_its_objects(case: Path) -> None:
    scores = score(case, case / "predictions")
    figures = scores.figures
    both = LEFT | RIGHT
    j, f = (2 + jaccard(both, RIGHT)) / 3, (2 + boundary_f(both, RIGHT)) / 3
    assert figures["per_expression"]["v_0"] == {"J": 2 / 3, "F": 2 / 3}  # gone, but shown: 0
    assert figures["per_expression"]["v_1"] == {"J": pytest.approx(j), "F": pytest.approx(f)}
    assert figures["J&F"] == pytest.approx((2 / 3 + j + 2 / 3 + f) / 4)
    assert scores.rows["v"] == scores.summary, "of both expressions"


def test_a_video_without_predictions_scores_nothing(case: Path) -> None:
    path = case / "meta_expressions.json"
    video = json.loads(path.read_text())["videos"]["v"]
    path.write_text("\ufeff" + json.dumps({"videos": {"v": video, "w": video}}))
    scores = score(case, case / "predictions")
    assert scores.figures["per_expression"]["w_1"]["J"] == 0 < scores.figures["per_expression"]["v_1"]["J"]
    (case / "predictions" / "v").rename(case / "predictions" / "other")
    with pytest.raises(UserError, match="predictions has a folder of none of the videos"):
        score(case, case / "predictions")


def test_masks_that_are_none_are_named(case: Path) -> None:
    path = case / "mask_dict.json"
    masks = json.loads(path.read_text())
    for broken, why in (
        ({"size": [24, 32], "counts": "b'11'"}, "frame 1 of v: the compressed counts"),
        ({"size": [24, 31], "counts": [744]}, "frame 1 of v: a mask has the size 24 x 31; expected 24 x 32"),
        ({"size": [24, 32], "counts": [744]}, "frame 1 of v: run lengths add up to 744 pixels"),
        ("none", "frame 1 of v: a mask is 'none'"),
        ([[1, 2, float("nan"), 5, 6, 7]], "frame 1 of v: a polygon holds"),
    ):
        masks["6"][1] = broken
        path.write_text(json.dumps(masks))
        with pytest.raises(UserError, match=f"mask_dict.json, annotation 6, {why}"):
            score(case, case / "predictions")


def test_nothing_meant_and_nothing_found(case: Path) -> None:
    (case / "mask_dict.json").write_text(json.dumps({"5": [None] * 3, "6": [None] * 3}))
    for file in (case / "predictions").rglob("*.png"):
        Image.new("L", (32, 24)).save(file)
    assert dict(score(case, case / "predictions").summary) == {"J": 1, "F": 1, "J&F": 1}


def test_bad_files_are_named(case: Path) -> None:
    (case / "predictions" / "v" / "1" / "00002.png").unlink()
    with pytest.raises(UserError, match=r"v/1/00002\.png missing"):
        score(case, case / "predictions")
    Image.new("L", (32, 20)).save(case / "predictions" / "v" / "1" / "00002.png")
    with pytest.raises(UserError, match=r"00002\.png is 20x32 .* expected 24x32"):
        score(case, case / "predictions")
    (case / "mask_dict.json").write_text(json.dumps({"5": [runs(LEFT)] * 3}))
    with pytest.raises(UserError, match="no annotation 6, which an expression of v means"):
        score(case, case / "predictions")
    (case / "mask_dict.json").write_text(json.dumps({"5": [runs(LEFT)] * 2, "6": [None] * 3}))
    with pytest.raises(UserError, match="annotation 5 has 2 frames, video v 3"):
        score(case, case / "predictions")
