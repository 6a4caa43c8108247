"""What a model's run over one sequence left behind: figures and time, kept in one JSON file per sequence."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from univs.evaluation.davis import ObjectScore
from univs.files import atomic_path

BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a record may raise: there is no such file, it is no record, or of something else."""


def write_record(path: Path, settings: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Writes plain values as JSON with the settings they were made under, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"settings": settings, **content}, indent=1))


def read_record(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `write_record` wrote. Raises one of BROKEN if there is nothing that was made under these settings."""
    content: dict[str, Any] = json.loads(path.read_text())
    if content["settings"] != settings:
        raise ValueError("made under other settings")
    return content


def of_other_runs(folder: Path, names: Iterable[str]) -> str:
    """A sentence on the records in a folder that are not of the run over `names`; empty if there is none."""
    own = {f"{name}.json" for name in names}
    count = sum(path.relative_to(folder).as_posix() not in own for path in folder.rglob("[!.]*.json"))
    return f"{folder} also holds {count} of other runs, which no figure here counts" if count else ""


@dataclass(frozen=True)
class SequenceRecord:
    """The result of one sequence."""

    name: str
    num_frames: int
    seconds: float  # spent in the model on frames after the first; reading and scoring left out
    scores: dict[int, ObjectScore]  # object id -> figures

    @property
    def speed(self) -> float:
        """Frames a second."""
        return (self.num_frames - 1) / self.seconds if self.seconds > 0 else math.nan

    def write(self, path: Path, settings: dict[str, Any]) -> None:
        """Writes the record with the settings it was made under, whole or not at all."""
        objects = {
            str(number): {"J": _to_json(score.jaccards), "F": _to_json(score.boundaries)}
            for number, score in self.scores.items()
        }
        content = {"name": self.name, "num_frames": self.num_frames, "seconds": self.seconds, "objects": objects}
        write_record(path, settings, content)

    @classmethod
    def read(cls, path: Path, settings: dict[str, Any]) -> SequenceRecord | None:
        """The record in a file; None if there is none, or it cannot be read, or was made under other settings."""
        try:
            content = read_record(path, settings)
            scores = {
                int(number): ObjectScore(_from_json(figures["J"]), _from_json(figures["F"]))
                for number, figures in content["objects"].items()
            }
            return cls(content["name"], content["num_frames"], content["seconds"], scores)
        except BROKEN:
            return None


@dataclass(frozen=True)
class Summary:
    """Means over the objects of all sequences (percent), as the official tools form them."""

    j_and_f: float
    j: float
    j_recall: float
    j_decay: float
    f: float
    f_recall: float
    f_decay: float

    @classmethod
    def of(cls, records: list[SequenceRecord]) -> Summary:
        """Averages over objects, not over sequences; NaN throughout if there is no object at all."""
        scores = [score for record in records for score in record.scores.values()]
        j, f = [score.j for score in scores], [score.f for score in scores]
        figures = [[s.mean for s in j], [s.recall for s in j], [s.decay for s in j]]
        figures += [[s.mean for s in f], [s.recall for s in f], [s.decay for s in f]]
        means = [100 * _mean(values) for values in figures]
        return cls((means[0] + means[3]) / 2, *means)


def results_table(records: list[SequenceRecord], title: str) -> Table:
    """One row per sequence, in the order given, and the means."""
    table = Table(title=title)
    for heading in ("sequence", "objects", "frames", "J&F", "J", "F", "frames/s"):
        table.add_column(heading, justify="left" if heading == "sequence" else "right", no_wrap=True)
    for record in records:
        one = Summary.of([record])
        counts = (str(len(record.scores)), str(record.num_frames))
        figures = (f"{value:.1f}" for value in (one.j_and_f, one.j, one.f))
        table.add_row(record.name, *counts, *figures, f"{record.speed:.2f}")
    table.add_section()
    every = Summary.of(records)
    counts = (str(sum(len(record.scores) for record in records)), str(sum(record.num_frames for record in records)))
    table.add_row("mean over objects", *counts, *(f"{v:.1f}" for v in (every.j_and_f, every.j, every.f)), "")
    return table


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _to_json(values: tuple[float, ...]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _from_json(values: list[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if value is None else float(value) for value in values)
