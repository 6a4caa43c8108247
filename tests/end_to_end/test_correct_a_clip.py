"""examples/correct_a_clip.py, looking at small frames."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
from PIL import Image


def test_two_rounds_on_the_clip_of_the_package(tmp_path: Path, repository: Path) -> None:
    spec = importlib.util.spec_from_file_location("correct_a_clip", repository / "examples" / "correct_a_clip.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.correct(tmp_path / "out", size=128)
    first, second = (np.asarray(Image.open(tmp_path / "out" / f"round{number}.jpg")) for number in (1, 2))
    assert first.shape == second.shape and np.abs(first.astype(int) - second).mean() > 0.1
    masks = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out" / "result" / "masks").glob("*.png"))]
    assert len(masks) == 132
    for mask in masks[50:]:
        assert mask[190, 238] == 1, "the belly"
    corrected = masks[example.SECOND]
    assert not corrected[:, :130].any(), "nothing beside the second box"
    for stroke in example.EARS:
        x, y = stroke.xy[1]
        assert corrected[int(y), int(x)] == 1
    (track,) = json.loads((tmp_path / "out" / "result" / "results.json").read_text())
    assert len(track["segmentations"]) == 132
