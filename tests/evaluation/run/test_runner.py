"""`univs evaluate` on public sets, from the command line to the tables."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.evaluation.run.oracle import export, oracles
from univs import cli
from univs.claim import claim_folder
from univs.errors import UserError
from univs.evaluation.metrics.scores import METRICS
from univs.evaluation.run import command
from univs.evaluation.run.benchmark_run import find_job
from univs.evaluation.run.official_metric import OfficialMetric
from univs.evaluation.run.questions import Question
from univs.evaluation.run.runner import BenchmarkRunner, find_root
from univs.evaluation.run.sharding import World
from univs.evaluation.run.table import BENCHMARKS, OF_PAPERS
from univs.formats import SETS, Recording
from univs.models import zoo
from univs.streaming import tasks


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth answers in place of a model."""

    def start(
        self: BenchmarkRunner, weights: str, device: str, size: int, options: object, world: object, console: object
    ) -> None:
        self._settings, self._world, self._console = {"weights": weights}, world, console

    def answer(self: BenchmarkRunner, job: object) -> object:
        from univs.evaluation.run import benchmark_run

        name = job.benchmark.dataset
        return benchmark_run.answer(job, oracles(name, job.data), self._settings, self._world, self._console)

    monkeypatch.setattr(BenchmarkRunner, "__init__", start)
    monkeypatch.setattr(BenchmarkRunner, "answer", answer)


def test_the_table_is_sound(repository: Path) -> None:
    assert set(OF_PAPERS) <= set(BENCHMARKS) and len(OF_PAPERS) == 10
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.dataset == name and name in SETS
        measure = benchmark.measure
        assert benchmark.task in tasks.TASKS and isinstance(measure, OfficialMetric) and measure.name in METRICS
        assert measure.options.keys() <= METRICS[measure.name].options.keys()
        assert (repository / "configs" / "dataset" / f"{name}.yaml").is_file()
        assert f"`{name}`" in (repository / "docs" / "evaluation.md").read_text()
        if benchmark.server:
            assert set(benchmark.server.splits) <= set(SETS[name].splits)


def test_one_set(knowing: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = export("ytvis21", tmp_path / "data")
    assert cli.main(["evaluate", "dataset=ytvis21", f"data.root={root}", f"out={tmp_path / 'out'}"]) == 0
    printed = capsys.readouterr().out
    assert "AP 100.0" in printed and "wastebasket" in printed and "submission.zip" in printed
    summary = json.loads((tmp_path / "out/ytvis21/valid/summary.json").read_text())
    assert summary["figures"]["AP50"] == 100 and summary["submission"].endswith("ytvis21/valid/submission.zip")
    assert summary["settings"]["task"] == "vis" and summary["frames"] == 8


def test_all_sets(knowing: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export("davis17", tmp_path / "sets" / "DAVIS17")
    export("vspw", tmp_path / "sets" / "vspw")
    export("ytvos18", tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "seen_categories.json").unlink()
    roots = [f"data.root={tmp_path / 'sets'}", f"data.roots.ytvos18={tmp_path / 'elsewhere'}"]
    assert cli.main(["evaluate", "dataset=all", *roots, f"out={tmp_path / 'out'}"]) == 0
    rows = json.loads((tmp_path / "out" / "all.json").read_text())
    assert list(rows) == list(OF_PAPERS)
    assert rows["davis17"]["figures"]["J&F"] == 100 and rows["vspw"]["figures"]["mIoU"] == 100
    assert rows["ytvos18"]["figures"] == {} and "scored by its server" in rows["ytvos18"]["note"]
    assert rows["ovis"] == {"figures": {}, "note": f"no folder {tmp_path / 'sets' / 'ovis'}"}
    printed = capsys.readouterr().out
    assert "J&F 100.0" in printed and "scored by its server" in printed


def test_where_a_set_lies(tmp_path: Path) -> None:
    (tmp_path / "Ref-DAVIS17").mkdir()
    (tmp_path / "ovis").touch()  # a file is no set
    assert find_root("ref_davis17", {"root": str(tmp_path), "roots": {"ref_davis17": None}}) == tmp_path / "Ref-DAVIS17"
    assert find_root("ovis", {"root": None, "roots": {"ovis": "/x"}}) == Path("/x")
    for data in ({"root": None, "roots": {}}, {"root": str(tmp_path)}, {"root": str(tmp_path / "nowhere")}):
        with pytest.raises(UserError, match="ovis|nowhere"):
            find_root("ovis", data)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=vspw"], "data.root"),
        (["dataset=vspw", "data.root=/nowhere"], "no folder /nowhere"),
        (["dataset=vspw", "data.root=.", "split=valid"], "no split 'valid'; it has val"),
        (["dataset=vspw", "data.root=.", "videos=0"], "at least 1"),
        (["dataset=vspw", "data.root=.", "videos=few"], "at least 1, not few"),
        (["dataset=vspw", "data.root=.", "size=0"], "at least 1, not 0"),
        (["dataset=all", "data.root=.", "size=big"], "at least 1, not big"),
        (["dataset=vspw", "data.root=.", "options=3"], "options"),
        (["dataset=vspw", "data.root=null"], "data.root must be a text, not nothing"),
        (["dataset=vspw", "data.root=.", "sequences=[a]"], "sequences"),
        (["dataset=vspw", "data.root=.", "+sequences=[a]"], "unknown setting sequences; there are dataset"),
        (["dataset=vspw", "data.root=.", "+data.list=x"], "unknown setting data.list; there is data.root"),
        (["dataset=vspw", "data.root=.", "prompt=circle"], "prompt must be"),
        (["dataset=davis_folder", "data.root=.", "prompt=1"], "prompt must be"),
        (["dataset=public", "dataset=vspv", "data.root=."], "vspv"),
        (["dataset=all", "data.root=/nowhere"], "no folder /nowhere"),
        (["dataset=all"], "no data.root"),
    ],
)
def test_bad_settings_are_one_line(overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", *overrides]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_weights_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = export("davis17", tmp_path / "data", videos=1)
    assert cli.main(["evaluate", "dataset=davis17", f"data.root={root}", "weights=nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("foo=1", "unknown option 'foo'; known: "),
        ("token_frames=0", "the option token_frames must be at least 1, not 0"),
        ("dense_interval=often", "the option dense_interval must be a whole number of at least 1, not often"),
        ("confine_prompts=2", "the option confine_prompts must be true or false, not 2"),
        ("clip_length=0", "the option clip_length must be at least 1"),
        ("square_padding=-1", "the option square_padding must be at least 1"),
        ("way=5", "the option way must be null or a text, not 5"),
        ("way=shot", "has no way 'shot'; known: clip, frame"),
        ("precision=int3", "unknown precision 'int3'"),
        ("size=3", "options.size is no option"),
    ],
)
def test_options_are_checked_before_the_first_video(
    option: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = export("davis17", tmp_path / "data", videos=1)
    out = f"out={tmp_path / 'out'}"
    assert cli.main(["evaluate", "dataset=davis17", f"data.root={root}", f"+options.{option}", out]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_two_runs_into_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = export("davis17", tmp_path / "data", videos=1)
    with claim_folder(tmp_path / "out" / "davis17" / "val"):
        assert cli.main(["evaluate", "dataset=davis17", f"data.root={root}", f"out={tmp_path / 'out'}"]) == 2
    assert "another run" in capsys.readouterr().err


def test_every_runner_is_there() -> None:
    for home in (*command.RUNNERS.values(), command.PUBLIC):
        module, _, function = home.partition(":")
        assert callable(getattr(import_module(f"{command.HOME}.{module}"), function))


def test_as_many_videos_as_asked_for(knowing: None, tmp_path: Path) -> None:
    root = export("davis17", tmp_path / "sets" / "davis17", videos=3)
    out = tmp_path / "out"
    assert cli.main(["evaluate", "dataset=davis17", f"data.root={root}", f"out={out}", "videos=2"]) == 0
    summary = json.loads((out / "davis17/val/summary.json").read_text())
    assert (summary["videos"], summary["note"]) == (2, "the first 2 videos")
    assert cli.main(["evaluate", "dataset=all", f"data.root={tmp_path / 'sets'}", f"out={out}", "videos=1"]) == 0
    assert json.loads((out / "all.json").read_text())["davis17"]["note"] == "the first 1 videos"


def test_answers_of_other_weights_sizes_and_options_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of other numbers under the same name."""
    job = find_job("davis17", export("davis17", tmp_path / "data", videos=1), None, None, tmp_path / "out")
    asked: list[str] = []

    def sessions(*_: object) -> Any:
        def new(recording: Recording, question: Question) -> Any:
            asked.append(recording.name)
            return oracles("davis17", job.data)(recording, question)

        return new

    network = torch.nn.Linear(2, 1)
    job = replace(job, benchmark=replace(job.benchmark, sessions=sessions))
    monkeypatch.setattr(zoo, "load", lambda weights, device: network)

    def again(weights: str = "some", size: int = 480, **options: Any) -> int:
        asked.clear()
        BenchmarkRunner(weights, "cpu", size, options, World(), Console(file=io.StringIO())).answer(job)
        return len(asked)

    assert again() == 1 and again() == 0
    others: list[dict[str, Any]] = [{"size": 240}, {"way": "frame"}, {"weights": "other"}]
    for given in others:
        assert again(**given) == 1 and again(**given) == 0 and again() == 1, given
    with torch.no_grad():
        network.weight += 1
    assert again() == 1 and again() == 0
