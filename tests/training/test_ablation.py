"""A table of ablations: what is run for its rows, what is not run again, and the figures in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.training import forked
from univs.configuration import compose
from univs.errors import UserError
from univs.training import ablation
from univs.training.ablation import run_ablation
from univs.training.stages import check_run

TABLE = """
title: without it
seeds: [3, 4]
train: ["data.root={root}", init=imagenet, stage.size=64, stage.steps=5, stage.minutes=null]
measures:
  - {name: "J&F", figure: "J&F", evaluate: [dataset=davis_folder, "data.root={root}/videos"]}
  - {name: first mask, figure: first_frame_iou, evaluate: [dataset=first_masks]}
rows:
  - {name: nothing}
  - {name: the teacher's clips, drop: [teacher], evaluate: [+options.dense_frames=1]}
  - {name: two stages, stages: [[stage=image, stage.steps=2], [stage.batch_size=3]]}
"""


class Runs:
    """Keeps the commands, and writes what they would."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []

    def __call__(self, arguments: Sequence[str]) -> None:
        self.given.append(list(arguments))
        out = Path(next(text for text in arguments if text.startswith("out="))[4:])
        out.mkdir(parents=True)
        if arguments[0] == "train":
            check_run(compose("train", arguments[1:]))
            (out / "tiny.safetensors").write_bytes(b"weights")
        else:
            number = len(self.given)
            content = {"first_frame_iou": 50.0 + number, "figures": {"J&F": 70.0 + number}}
            (out / "summary.json").write_text(json.dumps(content))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.yaml"
    path.write_text(TABLE)
    return path


def test_every_row_is_trained_and_measured_with_every_seed(table: Path, tmp_path: Path) -> None:
    runs, root, out = Runs(), tmp_path / "data", tmp_path / "out"
    text = run_ablation(table, root, out, ["stage.workers=0"], runs)
    trained_once = ["train", "evaluate", "evaluate"]
    assert [given[0] for given in runs.given] == [*trained_once * 2, "train", *trained_once] * 2
    first = compose("train", runs.given[0][1:])
    assert first["seed"] == 3 and first["stage"]["size"] == 64 and first["stage"]["workers"] == 0
    assert first["data"]["root"] == str(root) and len(first["data"]["sources"]) == 25
    assert runs.given[1][1:] == [
        "dataset=davis_folder", f"data.root={root}/videos",
        f"weights={out}/nothing/3/stage1/tiny.safetensors", f"out={out}/nothing/3/j-f",
    ]  # fmt: skip

    dropped = compose("train", runs.given[3][1:])
    assert dropped["data"]["sources"] == [s for s in first["data"]["sources"] if not s["root"].endswith("/teacher")]
    assert len(dropped["data"]["sources"]) == 24 and dropped["data"]["probabilities"] == first["data"]["probabilities"]
    assert "+options.dense_frames=1" in runs.given[4] and "+options.dense_frames=1" not in runs.given[1]

    image, clip = (compose("train", given[1:]) for given in runs.given[6:8])
    assert (image["stage"]["frames"], image["stage"]["steps"], image["init"]) == (1, 2, "imagenet")
    assert (clip["stage"]["frames"], clip["stage"]["steps"], clip["stage"]["batch_size"]) == (4, 5, 3)
    assert clip["init"] == str(out / "two-stages/3/stage1/tiny.safetensors") and image["seed"] == 3
    # the figures are those of commands 2 and 12, 3 and 13; 5 and 15, ...: means and standard deviations
    assert text.splitlines() == [
        "| without it | J&F | first mask |",
        "| --- | ---: | ---: |",
        "| nothing | 77.0 ± 7.1 | 58.0 ± 7.1 |",
        "| the teacher's clips | 80.0 ± 7.1 | 61.0 ± 7.1 |",
        "| two stages | 84.0 ± 7.1 | 65.0 ± 7.1 |",
    ]
    assert (out / "table.md").read_text() == text


@pytest.mark.parametrize("plus", ["", "++"])
def test_what_a_row_drops_stays_away_though_the_sources_are_overridden(table: Path, tmp_path: Path, plus: str) -> None:
    kinds = ", ".join(f"{{kind: photos, root: {tmp_path}/{name}, weight: 1}}" for name in ("teacher", "others"))
    given = [f"{plus}data.sources=[{kinds}]", "data.probabilities={photo: 1, video: 0, synth: 0}", "stage.workers=0"]
    runs = Runs()
    run_ablation(table, tmp_path, tmp_path / "out", given, runs)
    whole, dropped = (compose("train", runs.given[number][1:]) for number in (0, 3))
    assert [Path(source["root"]).name for source in whole["data"]["sources"]] == ["teacher", "others"]
    assert [Path(source["root"]).name for source in dropped["data"]["sources"]] == ["others"]
    assert {**whole["data"], "sources": 0} == {**dropped["data"], "sources": 0} and dropped["stage"]["workers"] == 0


def test_what_is_done_is_not_done_again(table: Path, tmp_path: Path) -> None:
    runs, again = Runs(), Runs()
    text = run_ablation(table, tmp_path, tmp_path / "out", command=runs)
    (tmp_path / "out/nothing/3/first-mask/summary.json").rename(tmp_path / "out/nothing/3/first-mask/kept")
    (tmp_path / "out/nothing/3/first-mask/ytvis/valid").mkdir(parents=True)
    (tmp_path / "out/nothing/3/first-mask/kept").rename(tmp_path / "out/nothing/3/first-mask/ytvis/valid/summary.json")
    assert run_ablation(table, tmp_path, tmp_path / "out", command=again) == text and not again.given


def test_a_stage_that_was_stopped_goes_on_though_its_weights_lie_there(table: Path, tmp_path: Path) -> None:
    """A run that is stopped leaves the averaged weights of what it has."""
    runs, again = Runs(), Runs()

    def stopped(arguments: Sequence[str]) -> None:
        runs(arguments)
        raise UserError("ended with status 130")

    with pytest.raises(UserError, match="130"):
        run_ablation(table, tmp_path, tmp_path / "out", command=stopped)
    weights = tmp_path / "out/nothing/3/stage1/tiny.safetensors"
    assert weights.is_file() and len(runs.given) == 1

    def goes_on(arguments: Sequence[str]) -> None:
        if not again.given:
            shutil.rmtree(weights.parent)
        again(arguments)

    run_ablation(table, tmp_path, tmp_path / "out", command=goes_on)
    assert again.given[0] == runs.given[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_table_that_is_stopped_stops_its_command_and_waits_until_that_has_saved(
    tmp_path: Path, number: signal.Signals
) -> None:
    tool = tmp_path / "univs"
    tool.mkdir()
    (tool / "__main__.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n"
        "    time.sleep(0.5)\n"
        "    pathlib.Path(sys.argv[2]).write_text('saved')\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)\n"
    )
    begun, saved = tmp_path / "begun", tmp_path / "saved"

    def work() -> None:
        os.chdir(tmp_path)  # `-m univs` is the one above
        with pytest.raises(KeyboardInterrupt):
            ablation.run_command([str(begun), str(saved)])

    child = forked.start(work, tmp_path / "said")
    forked.wait_for(begun.exists)
    os.kill(child, number)
    assert forked.end_of(child) == 0, (tmp_path / "said").read_text()
    assert saved.read_text() == "saved"


def test_what_all_rows_start_from_is_trained_once(table: Path, tmp_path: Path) -> None:
    first = [["stage=image", "stage.steps=2"], ["stage.batch_size=3"]]
    table.write_text(yaml.safe_dump({**yaml.safe_load(TABLE), "first": first}))
    runs, out = Runs(), tmp_path / "out"
    run_ablation(table, tmp_path, out, command=runs)
    made = [compose("train", given[1:]) for given in runs.given if given[0] == "train"]
    starts = ["imagenet", out / "first/stage1/tiny.safetensors", *[out / "first/stage2/tiny.safetensors"] * 3]
    assert [run["init"] for run in made[:5]] == [str(start) for start in starts] and len(made) == 2 + 2 * 4
    assert made[5]["init"] == str(out / "two-stages/3/stage1/tiny.safetensors")
    assert [run["stage"]["steps"] for run in made[:3]] == [2, 5, 5] and made[1]["stage"]["batch_size"] == 3


def test_a_table_that_is_stopped_has_what_was_measured(table: Path, tmp_path: Path) -> None:
    runs = Runs()

    def stopped(arguments: Sequence[str]) -> None:
        if len(runs.given) == 5:
            raise UserError("enough")
        runs(arguments)

    with pytest.raises(UserError, match="enough"):
        run_ablation(table, tmp_path, tmp_path / "out", command=stopped)
    assert (tmp_path / "out/table.md").read_text().splitlines()[2:] == ["| nothing | 72.0 | 53.0 |"]


def test_a_command_that_fails_ends_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    ablation.run_command(["--version"])
    with pytest.raises(UserError, match="univs nonsense ended with status 2"):
        ablation.run_command(["nonsense"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds must be given"),
        ({"colour": 1}, "unknown setting table.yaml.colour"),
        ({"rows": [{"stages": [[]]}]}, "no value for rows.0.name"),
        ({"rows": [{"name": "a"}, {"name": "a"}]}, "two rows are named 'a'"),
        ({"rows": [{"name": "a", "drop": ["moon"]}]}, "no source of the data lies in a folder moon"),
        ({"measures": [{"name": "a", "evaluate": ["dataset=x"], "figure": "AP"}]}, "has no figure AP; there are J&F"),
    ],
)
def test_mistakes_in_the_table_are_named(table: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    table.write_text(yaml.safe_dump({**yaml.safe_load(TABLE), **change}))
    with pytest.raises(UserError, match=message):
        run_ablation(table, tmp_path, tmp_path / "out", command=Runs())


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no YAML file that can be read"):
        run_ablation(tmp_path / "missing.yaml", tmp_path, tmp_path)
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(UserError, match="must be given as names and values"):
        run_ablation(tmp_path / "list.yaml", tmp_path, tmp_path)


def test_the_tables_that_ship_can_be_run(tmp_path: Path) -> None:
    for path in sorted((Path(__file__).parents[2] / "configs/ablation").glob("*.yaml")):
        runs = Runs()
        figures = {measure.figure for measure in ablation.read_ablation(path)[1]}
        summary = {"first_frame_iou": 1.0, "figures": dict.fromkeys(figures, 2.0)}

        def command(given: Sequence[str], runs: Runs = runs, summary: dict[str, object] = summary) -> None:
            runs(given)
            if given[0] == "evaluate":
                compose("evaluate", given[1:])
                next(Path(given[-1][4:]).glob("summary.json")).write_text(json.dumps(summary))

        once = tmp_path / path.name
        once.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "seeds": [0]}))
        run_ablation(once, tmp_path, tmp_path / path.stem, command=command)
        assert runs.given
