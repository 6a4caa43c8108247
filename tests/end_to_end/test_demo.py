from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.cli import main

BELLY = (190, 238)  # row, column: on the rabbit in every frame from 50 on
ELSEWHERE = ((215, 97), (232, 543), (60, 600), (345, 400))  # rocks, meadow, sky, grass


def test_demo_follows_the_rabbit_and_the_toys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    scores = [line for line in said.splitlines() if "mean" in line]
    assert len(scores) == 1 and float(scores[0].split()[-2]) > 60  # J&F; untrained weights reach 0
    masks = [np.asarray(Image.open(path)) for path in sorted((out / "rabbit" / "masks").glob("*.png"))]
    assert len(masks) == 132 and not any(mask.any() for mask in masks[:40])
    for mask in masks[50:]:
        assert mask[BELLY] == 1 and not any(mask[place] for place in ELSEWHERE)
        assert 0.08 < mask.mean() < 0.3
    for name in ("contact_sheet.png", "rabbit/overlay.mp4", "synth/overlay.mp4"):
        assert (out / name).stat().st_size > 20_000
