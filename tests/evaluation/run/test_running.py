"""What is asked when, what is taken, what is kept after a kill, and who does what."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.evaluation.run.oracle import Oracle, export, oracles
from tests.evaluation.run.test_oracle import examine
from univs.errors import UserError
from univs.evaluation.run import running
from univs.evaluation.run.benchmark_run import answer, find_job, lengths_of
from univs.evaluation.run.questions import Question, ask_shown
from univs.evaluation.run.records import VideoRecord
from univs.evaluation.run.running import AnswerStore, run, run_video
from univs.evaluation.run.sharding import World
from univs.formats import Recording, read_set
from univs.formats.answer_writer import MaskFolders
from univs.prompts import Box, Mask
from univs.results import FrameResult

ALONE = World()


def quiet() -> Console:
    return Console(file=io.StringIO())


class Noting:
    """Answers with the number of the frame that it was given, and notes what was said."""

    def __init__(self, late: int = 0) -> None:
        self.late, self.frames, self.said, self.given = late, [], {}, 0

    def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        if prompts:
            self.said[len(self.frames)] = [prompt.object_id for prompt in prompts]
        self.frames.append(frame)
        return self.results(len(self.frames) - self.late)

    def flush(self) -> list[FrameResult]:
        return self.results(len(self.frames))

    def results(self, end: int) -> list[FrameResult]:
        places = range(self.given, max(end, self.given))
        self.given = places.stop
        return [FrameResult(place, np.full((48, 80), place + 1), (1,)) for place in places]


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("davis17", tmp_path_factory.mktemp("davis"), videos=3, frames=6)


@pytest.mark.parametrize("late", [0, 3, 9])
def test_objects_that_come_later_and_frames_that_nobody_wants(davis: Path, late: int) -> None:
    data = read_set("davis17", davis)
    recording = replace(data.recordings[0], shown={1: 2, 2: 4}, wanted=(0, 2, 4))
    session, taken = Noting(late), []
    record = run_video(recording, ask_shown(recording, data), session, taken.append)
    assert session.said == {0: [1], 2: [2]}  # counted from the first frame that is shown to it
    assert len(session.frames) == record.num_frames == 3  # frames 2 to 4
    assert [result.frame_index for result in taken] == [0, 2, 4]
    assert [int(result.labels.max()) for result in taken] == [0, 1, 3]
    assert np.array_equal(session.frames[0], recording.frame(2))


def test_nothing_to_ask(davis: Path) -> None:
    data = read_set("davis17", davis)
    recording = replace(data.recordings[0], shown={})
    session, taken = Noting(), []
    record = run_video(recording, ask_shown(recording, data), session, taken.append)
    assert record.num_frames == 0 and not session.frames
    assert [result.frame_index for result in taken] == list(range(6)) and not any(r.labels.any() for r in taken)


@pytest.mark.parametrize("name", ["davis17", "ytvis19", "vipseg", "burst", "coco_panoptic"])
def test_a_run_goes_on_where_it_was_killed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = find_job(name, export(name, tmp_path / "data", videos=3), None, None, tmp_path / "out")
    sound = oracles(name, job.data)
    begun: list[str] = []

    def failing(recording: Recording, question: Question) -> Oracle:
        begun.append(recording.name)
        session = sound(recording, question)
        if len(begun) == 2:
            monkeypatch.setattr(session, "push", killed)
        return session

    def killed(frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(job, failing, {"size": 1}, ALONE, quiet())
    assert not list(job.folder.rglob("*.part")) and not list(job.folder.rglob("*.tmp*"))
    again: list[str] = []

    def noting(recording: Recording, question: Question) -> Oracle:
        again.append(recording.name)
        return sound(recording, question)

    first = answer(job, noting, {"size": 1}, ALONE, quiet())
    assert again == [recording.name for recording in job.recordings[1:]]
    second = answer(job, noting, {"size": 1}, ALONE, quiet())
    assert len(again) == len(job.recordings) - 1 and first.figures == pytest.approx(second.figures, nan_ok=True)
    answer(job, noting, {"size": 2}, ALONE, quiet())
    assert len(again) == 2 * len(job.recordings) - 1  # other settings: all are made again


def test_progress_is_in_frames_of_all_videos(davis: Path, tmp_path: Path) -> None:
    data = read_set("davis17", davis)
    starts = (0, 4, 0)
    recordings = [replace(data.recordings[k], shown={1: start}) for k, start in enumerate(starts)]
    told: list[tuple[int, int]] = []
    finished: list[VideoRecord] = []

    def go() -> None:
        run(
            recordings,
            lambda recording: Question(tuple(set(recording.shown.values())), lambda frame: []),
            lambda *_: Noting(),
            AnswerStore(tmp_path / "videos", MaskFolders(tmp_path / "masks", data), {}),
            lambda *now: told.append(now),
            lambda recording, record: finished.append(record),
        )

    go()
    assert told == [(done, 18) for done in (*range(1, 7), 6, 7, 8, 12, *range(13, 19), 18)]
    assert [record.num_frames for record in finished] == [6, 2, 6]
    assert [record.name for record in finished] == [recording.name for recording in recordings]
    told.clear()
    go()
    assert told == [(done, 18) for done in (6, 12, 18)] and finished[3:] == finished[:3]


def test_seconds_are_those_of_all_frames(davis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(running.time, "perf_counter", lambda: float(next(clock)))
    data = read_set("davis17", davis)
    record = run_video(data.recordings[0], ask_shown(data.recordings[0], data), Noting(3), lambda result: None)
    assert record.seconds == 7  # a tick for each of six frames, and one for what came at the end


@pytest.mark.parametrize("late", [0, 3, 9])
def test_answers_where_an_object_is_shown_are_compared_with_its_mask(davis: Path, late: int) -> None:
    """`Noting` answers frame k with k + 1 everywhere, and follows object 1 alone."""
    data = read_set("davis17", davis)
    recording = replace(data.recordings[0], shown={1: 2, 2: 2, 3: 4}, wanted=(4, 5))
    true = {number: np.zeros((48, 80), bool) for number in (1, 2, 3)}
    true[1][:12], true[3][:] = True, True
    question = replace(
        ask_shown(recording, data),
        says=lambda frame: [],
        shown=lambda frame: {number: true[number] for number, start in recording.shown.items() if start == frame},
    )
    record = run_video(recording, question, Noting(late), lambda result: None)
    assert record.first_ious == {"1": 0.25, "2": 1.0, "3": 0.0}  # 2 is empty in both, 3 is not followed
    assert run_video(recording, replace(question, shown=None), Noting(late), lambda result: None).first_ious == {}


def test_a_record_never_outlives_its_answers(davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between new answers and their record: under the old settings too, the video is answered again."""
    job = find_job("davis17", davis, None, 1, tmp_path)
    sound = oracles("davis17", job.data)
    answer(job, sound, {"size": 1}, ALONE, quiet())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VideoRecord, "write", killed)
        answer(job, oracles("davis17", job.data, shift=3), {"size": 2}, ALONE, quiet())
    before = Oracle.pushed
    outcome = answer(job, sound, {"size": 1}, ALONE, quiet())
    assert Oracle.pushed == before + 6 and outcome.figures["J&F"] == pytest.approx(100)


def test_all_processes_are_waited_for_before_the_answers_are_put_together(davis: Path, tmp_path: Path) -> None:
    job = find_job("davis17", davis, None, None, tmp_path)
    there: list[int] = []

    class Waiting(World):
        def wait(self) -> None:
            there.append(len(list((job.folder / "videos").glob("*.json"))))

    first = answer(job, oracles("davis17", job.data), {}, Waiting(), quiet())
    assert there == [3] and first is not None
    assert answer(job, oracles("davis17", job.data), {}, Waiting(rank=1, size=2), quiet()) is None and there == [3, 3]


def test_videos_of_one_name_are_refused_before_the_first_is_answered(davis: Path, tmp_path: Path) -> None:
    job = find_job("davis17", davis, None, None, tmp_path)
    first, second, third = job.recordings
    twice = replace(job, recordings=[first, second, replace(third, name=first.name)])
    before = Oracle.pushed
    with pytest.raises(UserError, match=f"two videos are called {first.name}") as caught:
        answer(twice, oracles("davis17", job.data), {}, ALONE, quiet())
    assert all(str(one.frames[0]) in str(caught.value) for one in (first, third))
    assert Oracle.pushed == before and not job.folder.exists()


def test_a_video_without_frames_has_a_length_too() -> None:
    empty, other = Recording("empty", ()), Recording("other", (Path("0.jpg"),))
    assert lengths_of([empty, other]) == [0, 1]
    with pytest.raises(UserError, match="are called empty: one without frames and one without frames; give"):
        lengths_of([empty, other, empty])


def test_answers_to_other_prompts_are_others(davis: Path, tmp_path: Path) -> None:
    job, other = (find_job("davis17", davis, None, None, tmp_path, kind) for kind in ("mask", "box"))
    assert other.made_from == {**job.made_from, "prompt": "box"} and job.made_from["prompt"] == "mask"
    recording = job.recordings[0]
    mask, box = (one.benchmark.ask(recording, job.data).says(0)[0] for one in (job, other))
    assert isinstance(mask, Mask) and isinstance(box, Box) and box.object_id == mask.object_id
    with pytest.raises(UserError, match="vspw shows no objects, so prompt=box cannot be"):
        find_job("vspw", export("vspw", tmp_path / "vspw"), None, None, tmp_path, "box")


def test_answers_that_somebody_takes_away_are_missed(davis: Path, tmp_path: Path) -> None:
    job = find_job("davis17", davis, None, 2, tmp_path)
    sound, names = oracles("davis17", job.data), [recording.name for recording in job.recordings]

    def thieving(recording: Recording, question: Question) -> Oracle:
        if recording.name == names[1]:
            shutil.rmtree(job.folder / "predictions" / names[0])
        return sound(recording, question)

    with pytest.raises(UserError, match="lacks answers that were there"):
        answer(job, thieving, {}, ALONE, quiet())


def test_what_a_session_refuses_names_the_video(davis: Path, tmp_path: Path) -> None:
    job = find_job("davis17", davis, None, 1, tmp_path)

    class Refusing(Noting):
        def push(self, frame: np.ndarray, prompts: Sequence[Any] = ()) -> list[FrameResult]:
            raise UserError("the mask is empty")

    with pytest.raises(UserError, match=f"video {job.recordings[0].name}: the mask is empty"):
        answer(job, lambda *_: Refusing(), {}, ALONE, quiet())
    assert not list((tmp_path / "davis17/val/predictions").iterdir())


def test_answers_that_are_gone_are_made_again(davis: Path, tmp_path: Path) -> None:
    outcome = examine("davis17", davis, tmp_path)
    (tmp_path / "davis17/val/predictions" / outcome.job.recordings[1].name).rename(tmp_path / "gone")
    before = Oracle.pushed
    assert examine("davis17", davis, tmp_path).figures == outcome.figures
    assert Oracle.pushed - before == 6


def test_part_of_a_split_is_scored_as_such(davis: Path, tmp_path: Path) -> None:
    job = find_job("davis17", davis, None, 2, tmp_path)
    outcome = answer(job, oracles("davis17", job.data, shift=2), {}, ALONE, quiet())
    assert outcome.note == "the first 2 videos"
    assert {row.rpartition("_")[0] for row in outcome.scores.rows} == {one.name for one in job.recordings}
    summary = json.loads((tmp_path / "davis17/val/summary.json").read_text())
    assert summary["figures"]["J"] == outcome.figures["J"] and summary["videos"] == 2 and summary["frames"] == 12


def test_late_answers_are_the_same(davis: Path, tmp_path: Path) -> None:
    assert examine("davis17", davis, tmp_path, shift=2, late=2).figures == pytest.approx(
        examine("davis17", davis, tmp_path, shift=2).figures
    )


PROGRAM = """
import io, sys
from pathlib import Path
from rich.console import Console
from tests.evaluation.run.oracle import oracles
from univs.evaluation.run.benchmark_run import answer, find_job
from univs.evaluation.run.sharding import World
with World.from_environment() as world:
    for name in ("davis17", "ytvis19"):
        job = find_job(name, Path(sys.argv[1]) / name, None, None, Path(sys.argv[2]))
        outcome = answer(job, oracles(name, job.data, shift=2), {}, world, Console(file=io.StringIO()))
        assert (outcome is None) == (world.rank > 0) and world.size == 2
"""


def test_two_processes_write_what_one_does(tmp_path: Path, repository: Path) -> None:
    for name in ("davis17", "ytvis19"):
        export(name, tmp_path / "data" / name, videos=3)
        examine(name, tmp_path / "data" / name, tmp_path / "one", shift=2)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "program.py"), str(tmp_path / "data"), str(tmp_path / "two")],
        env={**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, two = (
        {path.relative_to(root): path for path in sorted(root.rglob("*")) if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert one.keys() == two.keys()
    for path, file in one.items():
        if path.parts[2] == "videos" or path.name == "summary.json":  # these hold times and settings
            continue
        assert file.read_bytes() == two[path].read_bytes(), path
    figures = [json.loads((tmp_path / n / "ytvis19/valid/summary.json").read_text())["figures"] for n in ("one", "two")]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("part", ["JPEGImages", "Annotations"])
def test_cut_files_are_found_before_the_first_frame_is_answered(part: str, tmp_path: Path) -> None:
    root = export("davis17", tmp_path / "set", videos=2, frames=4)
    path = sorted((root / part).rglob("00002.*"))[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 50])
    Oracle.pushed = 0
    with pytest.raises(UserError, match=f"{path}.*univs datasets check"):
        examine("davis17", root, tmp_path / "out")
    assert Oracle.pushed == 0
    path.write_bytes(whole)
    for folder in (path.parent, tmp_path):
        (folder / "._00002.png").write_bytes(b"resource fork")
    assert examine("davis17", root, tmp_path / "out").figures["J&F"] == pytest.approx(100)
