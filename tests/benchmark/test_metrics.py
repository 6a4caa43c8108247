"""`univs benchmark metrics` on a tiny set: a line with both times; bad folders are one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.benchmark import main
from univs.benchmark.metrics import official_seconds
from univs.errors import UserError


def test_a_line_for_each_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = tmp_path / "large" / "davis2017_semisupervised"
    for folder in (case / "DAVIS" / "Annotations" / "480p" / "s", case / "results" / "s"):
        folder.mkdir(parents=True)
        for t in range(3):
            Image.fromarray(np.eye(8, dtype=np.uint8)).save(folder / f"{t:05d}.png")
    (case / "DAVIS" / "ImageSets" / "2017").mkdir(parents=True)
    (case / "DAVIS" / "ImageSets" / "2017" / "val.txt").write_text("s")
    told = {"sets": {"davis2017_semisupervised": {"seconds": 61.47}, "vspw": {"seconds": 3}}}
    (tmp_path / "timing.json").write_text(json.dumps(told))
    assert main(["metrics", "--root", str(tmp_path), "--workers", "1"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "davis2017" in line]
    assert float(line.split()[3]) < 5 and line.split()[5] == "61.5"


def test_parts_are_added() -> None:
    assert official_seconds({"vpq": {"seconds": 2.5, "windows": [1]}, "stq": {"seconds": 1}, "set": "x"}) == 3.5


def test_bad_options_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--root"):
        main(["metrics"])
    with pytest.raises(UserError, match=r"timing\.json does not exist"):
        main(["metrics", "--root", str(tmp_path)])


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"sets": 3}', '{"sets": {"vspw": 3}}', '{"sets": {"vspw": {"seconds": "x"}}}']
)
def test_official_seconds_that_are_not_there(tmp_path: Path, content: str) -> None:
    (tmp_path / "timing.json").write_text(content)
    with pytest.raises(UserError, match=r"timing\.json has no seconds of sets; expected"):
        main(["metrics", "--root", str(tmp_path)])
