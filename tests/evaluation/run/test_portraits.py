"""`univs evaluate dataset=portraits`: which photos are shown, and figures worked out by hand."""

from __future__ import annotations

import json
import re
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
from univs.evaluation.run.portraits import SETTLED, TIMES, evaluate, figures, flicker, held_out, noisy, overlap
from univs.masks.geometry import Geometry
from univs.models.own_files import save
from univs.models.portrait import PortraitNet
from univs.models.zoo import load
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


def test_videos_are_refused(tmp_path: Path) -> None:
    for folder, suffix, kind in (("JPEGImages", "jpg", "RGB"), ("Annotations", "png", "L")):
        (tmp_path / folder / "us").mkdir(parents=True)
        Image.new(kind, (60, 40), 1).save(tmp_path / folder / "us" / f"00000.{suffix}")
    aside = [f"{tmp_path.name}/us"]
    source = {"kind": "videos", "root": str(tmp_path), "exclude": aside, "weight": 1, "gaps": [1, 1]}
    with pytest.raises(UserError, match="holds videos; portraits are measured on photos alone"):
        list(held_out({"root": str(tmp_path), "sources": [source], "set_aside": aside}))


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
    alone = [PortraitMemory(model, Geometry.fit(40, 60)).answer(frame) for frame in frames]
    assert found["IoU alone"] == overlap(alone[-1] > 0.5, labels)
    assert (
        found["flicker alone"] == pytest.approx(flicker(alone[SETTLED:])) and found["flicker alone"] != found["flicker"]
    )
    bright = noisy(np.full((20, 20, 3), 254, np.uint8), grain)
    assert bright.min() > 200, "what is brighter than white is white"


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
    rows = [kept["sources"]["us"], kept["sources"]["them"]]
    assert kept["all"]["IoU"] == pytest.approx((2 * rows[0]["IoU"] + rows[1]["IoU"]) / 3)
    with pytest.raises(UserError, match="is no portrait net"):
        command.main([*common, "weights=tiny"])
    with pytest.raises(UserError, match=re.escape("people.sources.1 is of unknown kind 'paintings'")):
        command.main([*common, f"people.sources=[{us}, {them.replace('kind: photos', 'kind: paintings')}]"])
    with pytest.raises(UserError, match="names no photo of the sources"):
        command.main([*common, f"people.sources=[{us}]", "people.set_aside=[us/9.png]"])


def test_settings_of_the_command_reach_the_figures(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two photos of one source and one of the other, small; no out= is given."""
    weights = tmp_path / "net.safetensors"
    save(model := net(), weights, model.config)
    aside = ["us/0.png", "us/1.png", "us/2.png", "them/1.png"]
    sources = [{"kind": "photos", "root": str(root / name), "exclude": aside, "weight": 1} for name in ("us", "them")]
    monkeypatch.chdir(tmp_path)
    given: Any = {"root": str(root), "sources": sources, "set_aside": aside}
    summary = evaluate("portraits", {"root": str(root)}, given, str(weights), photos=2, size=32, device="cpu")
    network = load(weights)
    assert isinstance(network, PortraitNet)
    ready = network.ready("float32", False)
    rows = [figures(ready, photo, 32) for _, photo in held_out(given, 2)]
    assert len(rows) == 3 and len({row["flicker alone"] for row in rows}) == 3
    for name in ("IoU", "IoU alone", "flicker", "flicker alone"):
        values = [row[name] for row in rows]
        assert summary["sources"]["us"][name] == pytest.approx(np.mean(values[:2]), rel=1e-4)
        assert summary["all"][name] == pytest.approx(np.mean(values), rel=1e-4)
    kept = json.loads((tmp_path / "results" / "portraits" / "summary.json").read_text())
    assert kept == {**summary, "weights": str(weights), "size": 32}
    lines = {
        words[0]: words[1:]
        for line in capsys.readouterr().out.splitlines()
        if (words := re.split(r"[\s│]+", line.strip("│ ")))
    }
    for name, count in (("us", 2), ("them", 1), ("all", 3)):
        row = summary["all"] if name == "all" else summary["sources"][name]
        shown = [f"{100 * row[figure]:.1f}" for figure in ("IoU", "IoU alone")]
        shown += [f"{100 * row[figure]:.2f}" for figure in ("flicker", "flicker alone")]
        assert lines.get(name) == [str(count), *shown]


def test_weights_are_given_back_as_they_were(tmp_path: Path) -> None:
    model = net()
    save(model, tmp_path / "net.safetensors", model.config)
    again = load(tmp_path / "net.safetensors")
    frames, before = torch.randint(0, 256, (1, 3, 32, 32)), torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(again(frames, before), model(frames, before), atol=5e-2)  # type: ignore[operator]
