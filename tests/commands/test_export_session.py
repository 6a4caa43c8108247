"""An interactive session becomes the folder that `univs segment` writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.test_space_time_memory import numbers
from univs.commands.export_session import export_session
from univs.errors import UserError
from univs.interactive.session import Session
from univs.models.zoo import build_space_time


def test_masks_and_results_of_all_frames(tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.new("RGB", (40, 30), (60 * index, 90, 20)).save(tmp_path / "frames" / f"{index}.png")
    mask = np.zeros((30, 40), bool)
    mask[5:20, 8:30] = True
    network = build_space_time(numbers()).eval().requires_grad_(False)
    with Session(network, tmp_path / "frames", size=0) as session:
        session.interact(1, {session.add_object("cat"): mask})
        session.propagate()
        assert export_session(session, tmp_path / "out") == 3
        for index in range(3):
            stored = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{index:05}.png"))
            assert np.array_equal(stored, session.result(index).labels)
        assert np.array_equal(stored := np.asarray(Image.open(tmp_path / "out" / "masks" / "00001.png")), mask), stored
        (track,) = json.loads((tmp_path / "out" / "results.json").read_text())
        assert (track["object_id"], track["label"]) == (1, "cat") and track["segmentations"][1] is not None
        assert (tmp_path / "out" / "overlay.mp4").is_file()
        assert export_session(session, tmp_path / "plain", with_overlay=False) == 3
        names = sorted(path.name for path in (tmp_path / "plain").iterdir())
        assert names == ["contact_sheet.png", "masks", "results.json"]
        with pytest.raises(UserError):
            export_session(session, tmp_path / "frames")
