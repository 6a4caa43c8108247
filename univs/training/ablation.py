"""What each part of training earns: rows of a table, each trained and measured alike but for one part.

A row is one or more stages of `univs train`, each from the weights of the one before, and the figures of `univs
evaluate`. All of it lies in one folder and goes on from there: a run that was stopped is resumed, one that is done is
left alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import yaml

from univs.configuration import compose
from univs.errors import UserError
from univs.files import atomic_path
from univs.settings import NotEmpty, Seed, Text, check, make, settings_of
from univs.training.interruption import Interruption

Command = Callable[[Sequence[str]], None]
"""Runs `univs` with these arguments; raises UserError where it fails."""
Overrides = Sequence[Text]


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: Text
    stages: Annotated[Sequence[Overrides], NotEmpty()] = ((),)
    """Overrides of each stage, beside those of all rows."""
    drop: Sequence[Text] = ()
    """Sources that are left out: those whose path has this folder in it."""
    evaluate: Overrides = ()
    """Overrides of what is measured, beside those of the measure."""


@dataclass(frozen=True)
class Measure:
    """One column of the table: a figure that `univs evaluate` writes to summary.json."""

    name: Text
    evaluate: Annotated[Overrides, NotEmpty()]
    figure: Text
    """An entry of summary.json (`first_frame_iou`), or of `figures` in it."""


@dataclass(frozen=True)
class Ablation:
    """A table. `{root}` in an override stands for the data folder.

    train: overrides of every stage of every row. first: stages that are trained once, whose weights all rows and seeds
    start from.
    """

    title: Text
    train: Overrides
    seeds: Annotated[Sequence[Seed], NotEmpty()]
    measures: Annotated[Sequence[Mapping[str, Any]], NotEmpty()]
    rows: Annotated[Sequence[Mapping[str, Any]], NotEmpty()]
    first: Sequence[Overrides] = ()


def read_ablation(path: Path) -> tuple[Ablation, list[Measure], list[Row]]:
    """The table that a YAML file describes. Raises UserError, in one line, for whatever is wrong in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is no YAML file that can be read: {str(error).splitlines()[0]}") from error
    check(content, settings_of(Ablation), path.name)
    table = Ablation(**content)
    measures = [make(Measure, entry, f"measures.{number}") for number, entry in enumerate(table.measures)]
    rows = [make(Row, entry, f"rows.{number}") for number, entry in enumerate(table.rows)]
    for what, names in (("row", [row.name for row in rows]), ("measure", [measure.name for measure in measures])):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"{path}: two {what}s are named {twice!r}")
    return table, measures, rows


def run_command(arguments: Sequence[str]) -> None:
    """`univs` in a process of its own. Raises UserError where it fails or is stopped; stopped itself, it stops that one
    first, which saves."""
    with Interruption():
        process = subprocess.Popen([sys.executable, "-m", "univs", *arguments])
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if status:
        raise UserError(f"univs {' '.join(arguments)} ended with status {status}")


def run_ablation(file: Path, root: Path, out: Path, more: Sequence[str] = (), command: Command = run_command) -> str:
    """Train and measure every row with every seed, and the table in Markdown, also in OUT/table.md after each run.

    The seeds come one after the other, so that a table that is stopped early has all its rows.

    Args:
        file: the YAML file of the table (`Ablation`).
        root: of the data.
        out: folder of all runs.
        more: overrides of every stage (device=cuda, stage.workers=8).
        command: runs univs.
    """
    table, measures, rows = read_ablation(file)
    given = [*table.train, *more]
    start = train_row(Row("first", table.first), given, root, out / "first", command) if table.first else None
    figures: dict[str, list[list[float]]] = {row.name: [] for row in rows}
    text = ""
    for seed in table.seeds:
        for row in rows:
            folder = out / slug(row.name) / str(seed)
            weights = train_row(row, [*given, f"seed={seed}"], root, folder, command, start)
            figures[row.name].append([measured(measure, row, weights, root, folder, command) for measure in measures])
            text = markdown(table, measures, {name: runs for name, runs in figures.items() if runs})
            with atomic_path(out / "table.md") as part:
                part.write_text(text, encoding="utf-8")
    return text


def train_row(
    row: Row, overrides: Sequence[str], root: Path, folder: Path, command: Command, start: Path | None = None
) -> Path:
    """The weights after the last stage of a row; start: those before the first one, None: as the overrides say."""
    given = [text.replace("{root}", str(root)) for text in overrides]
    weights = start
    for number, stage in enumerate(row.stages, 1):
        own = [text.replace("{root}", str(root)) for text in stage]
        run = [*given, *own, f"out={folder / f'stage{number}'}"]
        if weights is not None:
            run.append(f"init={weights}")
        settings = compose("train", run)
        if row.drop:
            # what they say of the data is in the file, of which they would bring back what was dropped
            run = [text for text in run if not text.lstrip("+~").startswith(("data=", "data."))]
            run.append(f"data={without(row.drop, settings['data'], folder / f'data{number}.yaml')}")
        weights = folder / f"stage{number}" / f"{settings['model']['name']}.safetensors"
        finished = folder / f"stage{number}" / "finished"  # weights lie there as soon as a run was stopped
        if not finished.is_file():
            command(["train", *run])
            finished.touch()
    assert weights is not None, "a row has at least one stage"
    return weights


def without(dropped: Sequence[str], data: Mapping[str, Any], path: Path) -> Path:
    """A file of the data settings without the sources that are left out. Raises UserError for one that is not there."""
    sources = list(data["sources"])
    for name in dropped:
        kept = [source for source in sources if name not in Path(str(source.get("root", ""))).parts]
        if len(kept) == len(sources):
            raise UserError(f"drop: no source of the data lies in a folder {name}")
        sources = kept
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        part.write_text(yaml.safe_dump({**data, "sources": sources}), encoding="utf-8")
    return path


def measured(measure: Measure, row: Row, weights: Path, root: Path, folder: Path, command: Command) -> float:
    """The figure of a measure. Raises UserError where summary.json has none of its name."""
    place = folder / slug(measure.name)
    if not _summaries(place):
        given = [text.replace("{root}", str(root)) for text in (*measure.evaluate, *row.evaluate)]
        command(["evaluate", *given, f"weights={weights}", f"out={place}"])
    summary = _summaries(place)[0]
    found = json.loads(summary.read_text(encoding="utf-8"))
    value = {**found, **found["figures"]}.get(measure.figure)
    if not isinstance(value, (int, float)):
        raise UserError(f"{summary} has no figure {measure.figure}; there are {', '.join(found['figures'])}")
    return float(value)


def _summaries(place: Path) -> list[Path]:
    """Where `univs evaluate` wrote summary.json: public sets have a folder of their own below."""
    return sorted([*place.glob("summary.json"), *place.glob("*/*/summary.json")])


def markdown(table: Ablation, measures: Sequence[Measure], figures: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """The table: means over the seeds, and behind them the standard deviation where there are several."""
    lines = [
        f"| {table.title} | {' | '.join(measure.name for measure in measures)} |",
        f"| --- |{' ---: |' * len(measures)}",
    ]
    for name, runs in figures.items():
        cells = [_cell([run[place] for run in runs]) for place in range(len(measures))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread}"


def slug(name: str) -> str:
    """A name as that of a folder: letters and digits, the rest as one hyphen each."""
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    return "-".join(words) or "row"
