"""Expressions: what they mean, which frames count, what is missing. The golden cases are in tests/conformance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.davis import boundary_f, jaccard
from univs.evaluation.expressions import score

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
    figures = score(case, case / "predictions").figures
    both = LEFT | RIGHT
    j, f = (2 + jaccard(both, RIGHT)) / 3, (2 + boundary_f(both, RIGHT)) / 3
    assert figures["per_expression"]["v_0"] == {"J": 2 / 3, "F": 2 / 3}  # gone, but shown: 0
    assert figures["per_expression"]["v_1"] == {"J": pytest.approx(j), "F": pytest.approx(f)}
    assert figures["J&F"] == pytest.approx((2 / 3 + j + 2 / 3 + f) / 4)


def test_a_video_without_predictions_scores_nothing(case: Path) -> None:
    (case / "predictions" / "v").rename(case / "predictions" / "other")
    scores = score(case, case / "predictions")
    assert dict(scores.summary) == {"J": 0, "F": 0, "J&F": 0} and scores.figures["per_expression"]["v_1"]["J"] == 0


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
