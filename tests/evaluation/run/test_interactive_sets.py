"""`univs evaluate dataset=davis17_interactive`: from a folder to a table, with small untrained networks."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.test_space_time_memory import numbers
from univs.errors import UserError
from univs.evaluation.run import command, interactive_sets
from univs.evaluation.run import fingerprint as fingerprint_module
from univs.evaluation.run.fingerprint import fingerprint
from univs.evaluation.run.interactive_rounds import PlayedVideo, Rules
from univs.evaluation.run.interactive_sets import ONE_OBJECT, summarize
from univs.formats import Recording
from univs.formats.files import write_json
from univs.interactive import segmenters
from univs.interactive.segmenters import segmenter_of
from univs.models import zoo
from univs.models.fusion import FusionNetwork
from univs.models.own_files import save
from univs.models.segmenter_files import build_segmenter
from univs.models.zoo import build_space_time

LIGHT = {"name": "light", "kind": "scribble_to_mask_light", "scribble_to_mask_light": {"width": 16, "rates": [2]}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    save(build_space_time(numbers()), folder / "memory.safetensors", numbers())
    save(build_segmenter(LIGHT), folder / "light.safetensors", LIGHT)
    torch.save(FusionNetwork().state_dict(), folder / "fusion.pth")
    return folder


def overrides(root: Path, weights: Path, out: Path, *more: str) -> list[str]:
    return [
        "dataset=davis2016_interactive",
        f"data.root={root}",
        f"weights={weights / 'memory.safetensors'}",
        f"segmenter={weights / 'light.safetensors'}",
        f"out={out}",
        "device=cpu",
        "interactions=2",
        "size=null",
        *more,
    ]


def test_a_table_of_rounds(
    video_folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    out = tmp_path / "out"
    command.main(overrides(video_folder, weights, out, f"fusion={weights / 'fusion.pth'}"))
    printed = capsys.readouterr().out
    assert "J&F: AUC" in printed and "all objects" in printed
    summary = json.loads((out / "summary.json").read_text())
    assert len(summary["rounds"]) == 2 and summary["settings"]["rules"]["robot"] == "scribbles"
    (path,) = (out / "sequences").rglob("walk_001.json")
    kept = json.loads(path.read_text())
    assert np.array(kept["figures"]).shape == (2, 2, 5, 1) and len(set(kept["frames"])) == 2

    def again(*given: Any) -> None:
        raise AssertionError("what was played is played again")

    monkeypatch.setattr(interactive_sets, "play_one", again)
    command.main(overrides(video_folder, weights, out, f"fusion={weights / 'fusion.pth'}"))
    assert json.loads((out / "summary.json").read_text()) == summary
    with pytest.raises(AssertionError):
        command.main(overrides(video_folder, weights, out, "fusion=linear"))


def test_a_sequence_is_played_again_where_anything_it_depends_on_has_changed(
    video_folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another root, first scribbles, labels, or other weights under the same names."""
    root, mine, away = tmp_path / "set", tmp_path / "weights", tmp_path / "away" / "set"
    shutil.copytree(video_folder, root)
    shutil.copytree(root, away)
    shutil.copytree(weights, mine)
    played: list[str] = []

    def play_one(recording: Recording, ids: Sequence[int], *given: Any) -> PlayedVideo:
        played.append(recording.name)
        return PlayedVideo(np.full((2, 1, len(recording.annotated), len(ids)), 0.5), (0,), (1.0,))

    def again(folder: Path = root) -> list[str]:
        played.clear()
        command.main(overrides(folder, mine, tmp_path / "out", f"fusion={mine / 'fusion.pth'}"))
        return sorted(played)

    monkeypatch.setattr(interactive_sets, "play_one", play_one)
    both = ["set/ball", "set/walk"]
    assert again() == both and again() == []
    assert again(away) == both and again() == both
    torch.manual_seed(1)
    save(build_segmenter(LIGHT), mine / "light.safetensors", LIGHT)
    assert again() == both and again() == []
    torch.save(FusionNetwork().state_dict(), mine / "fusion.pth")
    assert again() == both and again() == []
    (root / "Annotations" / "480p" / "ball" / "00001.png").touch()
    assert again() == ["set/ball"] and again() == []
    for end in (0.5, 0.6):
        drawn = {"object_id": 1, "path": [[0.2, 0.2], [0.5, end]]}
        write_json(root / "Scribbles" / "set" / "walk" / "001.json", {"scribbles": [[drawn]]})
        assert again() == ["set/walk"] and again() == []


@pytest.fixture
def begun(weights: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What is played, with networks that were loaded before: sequence -> whether a person drew first."""
    memory, light = zoo.load(weights / "memory.safetensors", "cpu"), segmenter_of(str(weights / "light.safetensors"))
    monkeypatch.setattr(zoo, "load", lambda *_: memory)
    monkeypatch.setattr(segmenters, "segmenter_of", lambda *_: light)
    monkeypatch.setattr(fingerprint_module, "fingerprint", lambda model: "0")
    found: dict[str, bool] = {}

    def play_one(recording: Recording, ids: Sequence[int], *given: Any) -> PlayedVideo:
        found[recording.name.rpartition("/")[2]] = given[-1] is not None
        return PlayedVideo(np.full((2, 1, len(recording.annotated), len(ids)), 0.5), (0,), (1.0,))

    monkeypatch.setattr(interactive_sets, "play_one", play_one)
    return found


def test_rounds_under_other_settings_are_others(video_folder: Path, begun: dict[str, bool], tmp_path: Path) -> None:
    data: Any = {"root": str(video_folder)}

    def again(**given: Any) -> int:
        begun.clear()
        interactive_sets.evaluate(ONE_OBJECT, data, "some", out=tmp_path / "out", device="cpu", **given)
        return len(begun)

    assert again() == 2 and again() == 0
    others: list[dict[str, Any]] = [{"size": 32}, {"seconds": 7.0}, {"interactions": 3}, {"options": {"top_k": 3}}]
    for given in others:
        assert again(**given) == 2 and again() == 2, given


def test_what_persons_drew_is_for_the_robot_that_draws(
    video_folder: Path, begun: dict[str, bool], tmp_path: Path
) -> None:
    drawn = {"object_id": 1, "path": [[0.2, 0.2], [0.5, 0.5]]}
    write_json(video_folder / "Scribbles" / video_folder.name / "walk" / "001.json", {"scribbles": [[drawn]]})
    robots: tuple[Any, ...] = ("scribbles", "clicks")
    for robot in robots:
        data: Any = {"root": str(video_folder)}
        interactive_sets.evaluate(ONE_OBJECT, data, "some", out=tmp_path / "out", device="cpu", robot=robot)
        assert begun == {"walk": robot == "scribbles", "ball": False}


def test_dilations_are_part_of_a_segmenter() -> None:
    """They are no parameters: two networks of equal weights may still answer differently."""
    torch.manual_seed(0)
    near = build_segmenter(LIGHT)
    far = build_segmenter({**LIGHT, "scribble_to_mask_light": {"width": 16, "rates": [3]}})
    far.load_state_dict(near.state_dict())
    assert fingerprint(near) != fingerprint(far) and fingerprint(near) == fingerprint(copy.deepcopy(near))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["weights=portrait"], "weights=portrait carries no masks between frames: give tiny, stm_light, mivos"),
        (["weights=tiny", "fusion={folder}/fusion.pth"], "a learned fusion reads a space-time memory"),
        (["robot=hands"], "robot must be scribbles or clicks"),
        (["robot=clicks"], "this segmenter takes strokes and not clicks"),
        (["interactions=0"], "interactions"),
        (["sequences=[nowhere]"], "no sequence nowhere"),
        (["fusion=nothing.pth"], "no weights file at nothing.pth"),
    ],
)
def test_rude_settings(more: list[str], message: str, video_folder: Path, weights: Path, tmp_path: Path) -> None:
    given = [said.format(folder=weights) for said in more]
    with pytest.raises(UserError, match=message):
        command.main(overrides(video_folder, weights, tmp_path / "out", *given))


def test_a_file_of_another_network_is_no_fusion(video_folder: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no fusion network|no weights of MiVOS.s fusion"):
        command.main(overrides(video_folder, weights, tmp_path, f"fusion={weights / 'light.safetensors'}"))


def test_figures_of_many_rounds_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """In a file, which has room for eight rounds beside a long name."""
    rules = Rules(interactions=8)
    figures = np.linspace(0.123, 0.987, 8)[None, :, None, None].repeat(2, 0)
    played = {("davis2016/a-name-as-long-as-they-get", 1): PlayedVideo(figures, tuple(range(8)), (1.0,) * 8)}
    interactive_sets.show("davis2016_interactive", played, summarize(played, {next(iter(played)): 1}, rules))
    lines = capsys.readouterr().out.splitlines()
    for name in ("davis2016/a-name-as-long-as-they-get 1", "all objects"):
        (line,) = (line for line in lines if name in line)
        assert line.replace("│", " ").split()[-8:] == [f"{100 * value:.1f}" for value in figures[0, :, 0, 0]]


def test_figures_of_all_by_hand() -> None:
    """Two samples: one object and two rounds of 10 s and 30 s; two objects and one round of 20 s."""
    first = np.zeros((2, 2, 2, 1))
    first[0, :, :, 0], first[1, :, :, 0] = [[0.2, 0.4], [0.6, 0.8]], [[0.4, 0.6], [0.8, 1.0]]
    second = np.full((2, 1, 3, 2), 0.5)
    played = {
        ("a", 1): PlayedVideo(first, (0, 1), (10.0, 30.0)),
        ("b", 1): PlayedVideo(second, (2,), (20.0,)),
    }
    found = summarize(played, {("a", 1): 1, ("b", 1): 2}, Rules(interactions=2, seconds=30.0))
    values = [(0.4 + 0.5 + 0.5) / 3, (0.8 + 0.5 + 0.5) / 3]
    assert found["rounds"] == pytest.approx(values)
    # points: 0 s; (10 + 20) / 2 = 15 s; 15 + (30 + 0) / 2 = 30 s; 30 x 2 x 1.5 = 90 s
    area = (15 * values[0] / 2 + 15 * sum(values) / 2 + 60 * values[1]) / 90
    assert found["J&F AUC"] == pytest.approx(area) and found["J&F@60s"] == pytest.approx(values[1])
    assert found["J@60s"] == pytest.approx((0.7 + 0.5 + 0.5) / 3)


def test_sequences_count_once_for_the_time_however_often_they_were_begun() -> None:
    """Of two objects on average, not of 5/3, as the official tool has it."""
    objects = {("a", 1): 1, ("a", 2): 1, ("b", 1): 3}
    played = {sample: PlayedVideo(np.ones((2, 1, 1, count)), (0,), (6.0,)) for sample, count in objects.items()}
    curve = summarize(played, objects, Rules(interactions=1, seconds=10.0))["curve"]
    assert curve["time"] == pytest.approx([0, 6, 20])
