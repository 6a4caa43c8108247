"""`univs evaluate dataset=portraits`: which photos are shown, and figures worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.test_portrait import net
from univs.data.photo import Photo
from univs.errors import UserError
from univs.evaluation.run import command
from univs.evaluation.run.portraits import SETTLED, TIMES, figures, flicker, held_out, noisy, overlap
from univs.masks.geometry import Geometry
from univs.models.own_files import save
from univs.trackers.portrait import PortraitMemory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two folders of photos."""
    rng = np.random.default_rng(0)
    for folder, count in (("us", 3), ("them", 2)):
        for part in ("images", "masks"):
            (tmp_path / folder / part).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((40, 60), np.uint8)
            mask[10:, 20:40] = 255
            Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(
                tmp_path / folder / "images" / f"{number}.png"
            )
            Image.fromarray(mask).save(tmp_path / folder / "masks" / f"{number}.png")
    return tmp_path


def people(root: Path) -> Any:
    aside = ["us/0.png", "us/2.png", "them/1.png"]
    sources = [{"kind": "photos", "root": str(root / name), "exclude": aside, "weight": 1} for name in ("us", "them")]
    sources.append({"kind": "photos", "root": str(root / "nowhere"), "weight": 1})
    return {"root": str(root), "sources": sources, "set_aside": aside}


def test_what_is_set_aside_is_shown(root: Path) -> None:
    shown = [(source, photo.name) for source, photo in held_out(people(root))]
    assert [name.rpartition("/")[2].partition(".")[0] for _, name in shown] == ["0", "2", "1"]
    assert [source for source, _ in shown] == ["us", "us", "them"]
    assert len(list(held_out(people(root), 1))) == 2


def test_overlap_and_flicker_by_hand() -> None:
    truth = np.array([[1, 1, 0, 255]], np.uint8)
    assert overlap(np.array([[True, False, True, True]]), truth) == pytest.approx(1 / 3)
    assert overlap(np.zeros((1, 4), bool), np.zeros((1, 4), np.uint8)) == 1
    assert overlap(np.zeros((1, 4), bool), truth) == 0
    masks = [np.full((2, 2), value, np.float32) for value in (0.5, 0.25, 0.5)]
    masks[2][0, 0] = 0.25
    assert flicker(masks) == pytest.approx((0.25 + 0.1875) / 2)


def test_figures_of_a_photo() -> None:
    model, rng = net(), np.random.default_rng(5)
    labels = np.zeros((40, 60), np.uint8)
    labels[10:, 20:40] = 1
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    found = figures(model, Photo(image, labels), 40, seed=3)
    grain = np.random.default_rng(3)
    frames = [noisy(image, grain) for _ in range(TIMES)]
    assert 2 < np.std(frames[0].astype(float) - image) < 4
    memory = PortraitMemory(model, Geometry.fit(40, 60))
    kept = [memory.answer(frame) for frame in frames]
    assert found["flicker"] == pytest.approx(flicker(kept[SETTLED:])) and found["IoU"] == overlap(
        kept[-1] > 0.5, labels
    )
    alone = PortraitMemory(model, Geometry.fit(40, 60)).answer(frames[-1])
    assert found["IoU alone"] == overlap(alone > 0.5, labels) and found["flicker alone"] != found["flicker"]


def test_the_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = net()
    weights, out = tmp_path / "net.safetensors", tmp_path / "out"
    save(model, weights, model.config)
    given = people(root)
    common = [
        "dataset=portraits",
        f"data.root={root}",
        f"weights={weights}",
        f"out={out}",
        "device=cpu",
        f"people.set_aside={json.dumps(given['set_aside'])}",
    ]
    aside = "[us/0.png, us/2.png, them/1.png]"
    us, them = (f"{{kind: photos, root: '{root / name}', exclude: {aside}, weight: 1}}" for name in ("us", "them"))
    command.main([*common, f"people.sources=[{us}, {them}]"])
    printed = capsys.readouterr().out
    assert "portraits" in printed and "flicker" in printed
    kept = json.loads((out / "summary.json").read_text())
    rows = [kept["us"], kept["them"]]
    assert kept["all"]["IoU"] == pytest.approx((2 * rows[0]["IoU"] + rows[1]["IoU"]) / 3)
    with pytest.raises(UserError, match="is no portrait net"):
        command.main([*common, "weights=tiny"])
    with pytest.raises(UserError, match="names no photo of the sources"):
        command.main([*common, f"people.sources=[{us}]", "people.set_aside=[us/9.png]"])


def test_weights_are_given_back_as_they_were(tmp_path: Path) -> None:
    from univs.models.zoo import load

    model = net()
    save(model, tmp_path / "net.safetensors", model.config)
    again = load(tmp_path / "net.safetensors")
    frames, before = torch.randint(0, 256, (1, 3, 32, 32)), torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(again(frames, before), model(frames, before), atol=5e-2)  # type: ignore[operator]
