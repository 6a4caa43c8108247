"""`univs evaluate dataset=vot`: a model by the protocol of VOT, begun anew where it has lost the object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.test_vot import SIZE, box, write_sequence
from tests.models.test_siammask import made_network
from univs import cli, streaming
from univs.errors import UserError
from univs.evaluation.metrics.score_printing import plain
from univs.evaluation.metrics.vot import score
from univs.evaluation.run.vot_sets import RestartedSession, ask_region, box_prompt, is_upright, restarted_sessions
from univs.formats.vot import read
from univs.models.own_files import save
from univs.prompts import Box
from univs.results import FrameResult

LENGTH = 16


class Drifting:
    """Answers the box that it was shown, three frames later one far from it."""

    made: list[list[Any]] = []

    def __init__(self) -> None:
        self.came, self.box = 0, box(0, 0)
        Drifting.made.append([])

    def step(self, frame: np.ndarray, said: Sequence[Any]) -> FrameResult:
        Drifting.made[-1].extend(said)
        for prompt in said:
            x0, y0, x1, y1 = prompt.xyxy
            self.box = box(x0, y0, x1 - x0, y1 - y0)
        self.came += 1
        shown = self.box + 100 if self.came > 3 else self.box
        corners = tuple(map(tuple, shown))
        return FrameResult(self.came - 1, np.ones(SIZE, np.uint8), (1,), rotated_boxes={1: corners})

    def close(self) -> None:
        Drifting.made[-1].append("closed")


def test_sessions_follow_each_other(tmp_path: Path) -> None:
    write_sequence(tmp_path / "ball", [f"{10 + index},10,10,8" for index in range(LENGTH)])
    data = read(tmp_path)
    (recording,) = data.recordings
    question = ask_region(recording, data)
    truth = [box(10 + index, 10) for index in range(LENGTH)]
    Drifting.made.clear()
    session = RestartedSession(Drifting, question, truth)  # type: ignore[arg-type]
    results = [session.push(recording.frame(index))[0] for index in range(LENGTH)]
    assert [result.frame_index for result in results] == list(range(LENGTH))
    followed = [bool(result.object_ids) for result in results]
    assert followed == [True] * 4 + [False] * 4 + [True] * 4 + [False] * 4
    assert Drifting.made == [[Box(1, (10, 10, 20, 18)), "closed"], [Box(1, (18, 10, 28, 18)), "closed"]]
    assert session.flush() == [] and not results[5].labels.any() and results[5].labels.shape == SIZE


def test_a_session_goes_on_over_frames_of_which_nothing_is_known(tmp_path: Path) -> None:
    class Silent(Drifting):
        """On the third frame it says nothing."""

        def step(self, frame: np.ndarray, said: Sequence[Any]) -> FrameResult:
            result = super().step(frame, said)
            return FrameResult(2, np.zeros(SIZE, np.uint8), ()) if self.came == 3 else result

    write_sequence(tmp_path / "ball", ["45,10,10,8", "45,10,10,8", "nan,nan,nan,nan", "nan,nan,nan,nan"])
    data = read(tmp_path)
    truth = [box(45, 10), box(45, 10), None, None]
    Drifting.made.clear()
    session = RestartedSession(Silent, ask_region(data.recordings[0], data), truth)  # type: ignore[arg-type]
    answered = [session.push(data.recordings[0].frame(index))[0] for index in range(4)]
    assert [bool(result.object_ids) for result in answered] == [True, True, False, True]
    assert Drifting.made == [[Box(1, (45, 10, 55, 18))]]
    session.flush()
    assert Drifting.made[0][-1] == "closed"


def test_sessions_are_made_as_asked_and_wrong_options_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, made = made_network(), []
    with pytest.raises(UserError, match="top_k"):
        restarted_sessions(network, "vos", None, {"way": "vot", "top_k": 3})
    monkeypatch.setattr(streaming, "Session", lambda *given, **options: made.append((given, options)) or Drifting())
    for size in (None, 200):
        restarted_sessions(network, "vos", size, {"way": "vot"})
    assert made == [((network, "vos"), {"size": size, "keep_results": False, "way": "vot"}) for size in (0, 200)]


def test_boxes_of_regions() -> None:
    assert box_prompt(box(5, 6), SIZE, "x").xyxy == (5, 6, 15, 14)
    turned = np.array([[20.0, 10], [30, 20], [20, 30], [10, 20]])
    side = np.sqrt(200) + 1
    assert box_prompt(turned, SIZE, "x").xyxy == pytest.approx(
        (20 - side / 2, 20 - side / 2, 20 + side / 2, 20 + side / 2)
    )
    assert box_prompt(np.array([[1.0, 1], [9, 1], [9, 5], [4, 9], [1, 5]]), SIZE, "x").xyxy == (1, 1, 9, 9)
    assert box_prompt(box(-4, 36), SIZE, "x").xyxy == (0, 36, 6, 40), "what lies outside is cut off"
    for outside in (box(100, 0), box(60, 5), box(5, 40), box(10, 10, 0, 5), box(10, 10, 0, 0)):
        with pytest.raises(UserError, match="x: nothing of the true region lies in the frame"):
            box_prompt(outside, SIZE, "x")
    assert is_upright(box(1, 1)) and not is_upright(turned)


def test_frames_without_a_true_region_show_nothing(tmp_path: Path) -> None:
    write_sequence(tmp_path / "ball", ["nan,nan,nan,nan", "10,10,10,8", "10,10,10,8"])
    data = read(tmp_path)
    question = ask_region(data.recordings[0], data)
    assert question.says(0) == [] and question.says(1) == [Box(1, (10, 10, 20, 18))]
    session = RestartedSession(Drifting, question, [None, box(10, 10), box(10, 10)])  # type: ignore[arg-type]
    results = [session.push(data.recordings[0].frame(index))[0] for index in range(3)]
    assert [bool(result.object_ids) for result in results] == [False, True, True]


def test_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ant", "ball"):
        write_sequence(tmp_path / "vot" / name, ["20,10,14,12"] * 5)
    network = made_network()
    save(network, tmp_path / "light.safetensors", network.config)
    settings = [
        "dataset=vot", f"data.root={tmp_path / 'vot'}", f"weights={tmp_path / 'light.safetensors'}", "device=cpu",
        f"out={tmp_path / 'out'}", "+options.way=vot", "interval=vot2018",
    ]  # fmt: skip
    assert cli.main(["evaluate", *settings]) == 0
    assert "EAO" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["videos"] == 2 and set(summary["rows"]) == {"ant", "ball"} and summary["settings"]["task"] == "vos"
    folders = tmp_path / "vot", tmp_path / "out" / "predictions"
    challenge, own = (plain(score(*folders, interval=interval).summary)["EAO"] for interval in ("vot2018", "lengths"))
    assert summary["summary"]["EAO"] == challenge != own
    lines = (tmp_path / "out" / "predictions" / "baseline" / "ball" / "ball_001.txt").read_text().splitlines()
    assert lines[0] == "1" and len(lines) == 5
    assert cli.main(["evaluate", *settings, "sequences=[ant]", "+options.top_k=3"]) == 2
    assert "top_k" in capsys.readouterr().err
