"""The official tool of the interactive challenge asks: a stand-in that keeps to its interface."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.run import interactive_sets
from univs.evaluation.run.interactive_rounds import Rules
from univs.evaluation.run.official_session import drive, open_official
from univs.formats import Recording, read_set
from univs.interactive.interactions import Stroke

HEIGHT, WIDTH, FRAMES = 20, 30, 3


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Two sequences of DAVIS-2017 val with two objects."""
    root = tmp_path / "DAVIS"
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("cat\ndog\n")
    for name in ("cat", "dog"):
        for folder in ("JPEGImages", "Annotations"):
            (root / folder / "480p" / name).mkdir(parents=True)
        for index in range(FRAMES):
            image = Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
            image.save(root / "JPEGImages" / "480p" / name / f"{index:05d}.jpg")
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            labels[:5, :5], labels[10:, 10:] = 1, 2
            mask = Image.fromarray(labels, "P")
            mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
            mask.save(root / "Annotations" / "480p" / name / f"{index:05d}.png")
    return root


class Official:
    """Two rounds of each sample; the second draws on frame 2, or nothing."""

    def __init__(self, samples: tuple[str, ...] = ("dog", "cat"), **settings: Any) -> None:
        self.samples, self.settings = [(name, number) for name in samples for number in (0, 1)], settings
        self.at, self.submitted, self.waits = -1, list[np.ndarray](), False

    def __enter__(self) -> Official:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def next(self) -> bool:
        self.at += 1
        return self.at < len(self.samples)

    def get_scribbles(self, only_last: bool = False) -> tuple[str, Mapping[str, Any], bool]:
        assert only_last and not self.waits
        self.waits = True
        name, number = self.samples[self.at]
        frames: list[list[Any]] = [[] for _ in range(FRAMES)]
        if number == 0:
            frames[0] = [{"path": [[0.0, 0.0], [1.0, 1.0]], "object_id": 2, "start_time": 0, "end_time": 1}]
        elif name == "dog":
            frames[2] = [{"path": [[0.5, 0.5]], "object_id": 0}, {"path": [], "object_id": 1}]
        return name, {"scribbles": frames, "sequence": name}, number == 0

    def submit_masks(self, pred_masks: np.ndarray) -> None:
        assert self.waits
        self.waits = False
        self.submitted.append(pred_masks)

    def get_global_summary(self) -> Mapping[str, Any]:
        return {"auc": 0.5, "metric_at_threshold": {"threshold": 60, "J_AND_F": 0.25}, "curve": {}}


class Method:
    def __init__(self, recording: Recording, ids: Sequence[int], log: list[Any]) -> None:
        self.name, self.ids, self.log, self.rounds = recording.name, ids, log, 0
        self.session = SimpleNamespace(close=lambda: log.append((self.name, "closed")))

    def interact(self, index: int, said: Any, *, propagate: bool = True) -> None:
        self.rounds += 1
        self.log.append((self.name, index, tuple(said), propagate))

    def labels(self, index: int) -> np.ndarray:
        return np.full((HEIGHT, WIDTH), 10 * self.rounds + index, np.uint8)


def recordings(root: Path) -> dict[str, Recording]:
    return {recording.name: recording for recording in read_set("davis17", str(root), "val").recordings}


def test_rounds_go_to_the_session_of_their_sequence(davis: Path) -> None:
    official, log, told = Official(), list[Any](), list[str]()
    made: list[Method] = []

    def new(recording: Recording, ids: Sequence[int]) -> Any:
        made.append(Method(recording, ids, log))
        return made[-1]

    assert drive(official, recordings(davis), new, told.append)["auc"] == 0.5
    corner = Stroke(((0.0, 0.0), (WIDTH - 1.0, HEIGHT - 1.0)))
    middle = Stroke(((float(int(0.5 * (WIDTH - 1))), float(int(0.5 * (HEIGHT - 1)))),))
    assert log == [
        ("dog", 0, ((2, corner),), True),
        ("dog", 2, ((0, middle),), True),
        ("dog", "closed"),
        ("cat", 0, ((2, corner),), True),  # nothing is drawn in the second round: the masks stay
        ("cat", "closed"),
    ]
    assert [method.ids for method in made] == [(1, 2), (1, 2)]
    assert told == ["dog: round 1", "dog: round 2", "cat: round 1", "cat: round 2"]
    assert [masks.shape for masks in official.submitted] == [(FRAMES, HEIGHT, WIDTH)] * 4
    assert [masks[:, 0, 0].tolist() for masks in official.submitted] == [[10, 11, 12], [20, 21, 22]] + [
        [10, 11, 12]
    ] * 2


def test_the_first_frames_of_a_sequence(davis: Path) -> None:
    found = interactive_sets.find_recordings("davis17_interactive", {"root": str(davis)}, "val", ["dog"], 2)
    assert [(recording.name, len(recording), recording.annotated) for recording in found] == [("dog", 2, (0, 1))]


def test_a_session_is_closed_when_something_fails(davis: Path) -> None:
    log: list[Any] = []
    official = Official()
    official.submit_masks = lambda pred_masks: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    with pytest.raises(ZeroDivisionError):
        drive(official, recordings(davis), lambda recording, ids: Method(recording, ids, log), print)  # type: ignore[arg-type, return-value]
    assert log[-1] == ("dog", "closed")


def test_a_sequence_that_is_not_there(davis: Path) -> None:
    with pytest.raises(UserError, match="asks for the sequence cow, which the data set has not"):
        drive(Official(("cow",)), recordings(davis), Method, print)  # type: ignore[arg-type]


def install(monkeypatch: pytest.MonkeyPatch, made: list[Official]) -> None:
    """The package, as if installed."""

    def session(**settings: Any) -> Official:
        made.append(Official(**settings))
        return made[-1]

    module = ModuleType("davisinteractive.session")
    module.DavisInteractiveSession = session  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "davisinteractive", ModuleType("davisinteractive"))
    monkeypatch.setitem(sys.modules, "davisinteractive.session", module)


def test_what_the_package_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Official] = []
    install(monkeypatch, made)
    open_official("DAVIS", "val", Rules(interactions=4, seconds=20), tmp_path)
    assert made[0].settings == {
        "host": "localhost",
        "davis_root": "DAVIS",
        "subset": "val",
        "max_time": 80,
        "max_nb_interactions": 4,
        "metric_to_optimize": "J_AND_F",
        "report_save_dir": str(tmp_path),
    }


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Rules(robot="clicks"), "leave robot=scribbles group=1"),
        (Rules(group=3), "leave robot=scribbles group=1"),
        (Rules(interactions=17), "16 rounds and 600 seconds"),
        (Rules(interactions=8, seconds=100), "16 rounds and 600 seconds"),
        (Rules(), "needs the package davisinteractive .GPL-3.0., which is not installed"),
    ],
)
def test_what_is_refused(rules: Rules, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "davisinteractive.session", None)
    with pytest.raises(UserError, match=message):
        open_official("DAVIS", "val", rules, tmp_path)


def test_the_command(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Official] = []
    install(monkeypatch, made)

    class Methods:
        settings: Mapping[str, Any] = {"weights": "some"}

        def __init__(self, *given: Any) -> None:
            pass

        def new(self, recording: Recording, ids: Sequence[int]) -> Any:
            return Method(recording, ids, [])

    monkeypatch.setattr(interactive_sets, "Methods", Methods)
    out = tmp_path / "out"
    found = interactive_sets.evaluate(
        "davis17_interactive", {"root": str(davis)}, "some", session="davisinteractive", out=out
    )
    assert found["auc"] == 0.5 and len(made[0].submitted) == 4
    kept = json.loads((out / "summary.json").read_text())
    assert kept["auc"] == 0.5 and kept["settings"]["weights"] == "some"
    printed = capsys.readouterr().out
    assert "AUC 50.0" in printed and "J&F after 60 s 25.0" in printed
    with pytest.raises(UserError, match="is for dataset=davis17_interactive"):
        interactive_sets.evaluate(
            "davis2016_interactive", {"root": str(davis)}, "some", session="davisinteractive", out=tmp_path / "other"
        )
