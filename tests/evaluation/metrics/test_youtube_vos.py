"""YouTube-VOS: which frames and objects count, and in which split. The golden cases are in tests/conformance."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.youtube_vos import score

FRAMES = ("00000", "00005", "00010", "00015")


def write(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """Object 1 (seen) is there throughout, object 4 (unseen) on frames 5 and 10; both are predicted rightly."""
    objects = {
        "1": {"category": "dog", "frames": list(FRAMES)},
        "4": {"category": "ant", "frames": ["00005", "00010"]},
    }
    for t, frame in enumerate(FRAMES):
        labels = np.zeros((30, 40))
        labels[4:14, 4:14] = 1
        if t in (1, 2):
            labels[18:28, 20:30] = 4
        write(tmp_path / "valid" / "Annotations_gt" / "v" / f"{frame}.png", labels)
        write(tmp_path / "results" / "v" / f"{frame}.png", labels)
    (tmp_path / "valid" / "meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects}}}))
    (tmp_path / "seen_categories.json").write_text(json.dumps({"seen": ["dog"], "unseen": ["ant"]}))
    return tmp_path


def predict(case: Path, frame: str, old: int, new: int) -> None:
    path = case / "results" / "v" / f"{frame}.png"
    labels = np.array(Image.open(path))
    write(path, np.where(labels == old, new, labels))


def test_objects_count_from_the_frame_after_their_first_to_the_end(case: Path) -> None:
    predict(case, "00000", 1, 0)  # the first frame of object 1 does not count
    predict(case, "00005", 4, 0)  # nor that of object 4
    predict(case, "00010", 1, 0)
    figures = score(case, case / "results").figures
    assert figures["per_object"]["v/1"]["J"] == [1, 0, 1]
    assert figures["per_object"]["v/4"]["F"] == [1, 1]  # gone and not shown: 1
    expected = {"J_seen": 2 / 3, "F_seen": 2 / 3, "J_unseen": 1, "F_unseen": 1, "G": 5 / 6}
    assert figures["scores"] == pytest.approx(expected, abs=1e-12)


def test_an_object_shown_after_it_has_gone_costs(case: Path) -> None:
    predict(case, "00015", 0, 4)
    figures = score(case, case / "results").figures
    assert figures["per_object"]["v/4"]["J"] == [1, 0]


def test_a_split_without_objects_has_no_figure(case: Path) -> None:
    (case / "seen_categories.json").write_text(json.dumps({"seen": ["dog", "ant"], "unseen": []}))
    summary = score(case, case / "results").summary
    assert summary["J_seen"] == 1 and math.isnan(summary["J_unseen"]) and math.isnan(summary["G"])


def test_bad_files_are_named(case: Path) -> None:
    predict(case, "00010", 0, 9)
    with pytest.raises(UserError, match=r"00010\.png holds id 9; v has the objects 1, 4"):
        score(case, case / "results")
    (case / "results" / "v" / "00010.png").unlink()
    with pytest.raises(UserError, match=r"v/00010\.png missing"):
        score(case, case / "results")
    (case / "seen_categories.json").write_text('{"seen": ["dog"], "unseen": []}')
    with pytest.raises(UserError, match="names ant, the category of object 4 of v, neither"):
        score(case, case / "results")
    (case / "valid" / "meta.json").write_text("{}")
    with pytest.raises(UserError, match=r"no meta\.json of YouTube-VOS: it lacks 'videos'"):
        score(case, case / "results")
