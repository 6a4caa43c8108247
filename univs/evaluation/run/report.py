"""What a person sees of benchmarks that were run: the table of one, and the one table of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from univs.evaluation.metrics.score_printing import plain, print_whole
from univs.evaluation.run.benchmark_run import Job, Outcome
from univs.evaluation.run.records import of_other_runs
from univs.evaluation.run.table import BENCHMARKS
from univs.formats.files import write_json


def report(outcome: Outcome, console: Console) -> None:
    """Prints the table of the scorer, the main figures and where the files lie."""
    job = outcome.job
    if outcome.scores and not console.quiet:
        made = (
            f"weights {outcome.made_under.get('weights')}, short side {outcome.made_under.get('size') or 'as stored'}"
        )
        job.benchmark.measure.show(f"{job.title}, {made}", outcome.scores, outcome.records)
        main = "   ".join(f"{name} {_percent(value)}" for name, value in outcome.figures.items())
        console.print(f"{job.title}: {main}", highlight=False)
    videos = f"{len(outcome.records)} videos, {outcome.frames} frames, {_speed(outcome)} frames/s"
    console.print(f"{videos}{'; ' if outcome.note else ''}{outcome.note}", highlight=False, soft_wrap=True)
    if ious := outcome.first_ious:
        shown = f"{100 * fmean(ious):.1f} (mean of {len(ious)} objects)"
        console.print(f"IoU on the frame on which an object is shown: {shown}", highlight=False, soft_wrap=True)
    if outcome.submission:
        console.print(f"for the server, checked: {outcome.submission}", highlight=False, soft_wrap=True)
    console.print(f"answers and figures: {job.folder}", highlight=False, soft_wrap=True)
    if others := of_other_runs(job.folder / "videos", (record.name for record in outcome.records)):
        console.print(others, highlight=False, soft_wrap=True)


def print_all(
    jobs: Mapping[str, Job | str], outcomes: list[Outcome], title: str, folder: Path, console: Console
) -> None:
    """Prints the one table and writes it to all.json."""
    table = Table(title=title, title_justify="left")
    for column in ("benchmark", "task", "figures", "frames/s", "note"):
        table.add_column(column, justify="right" if column == "frames/s" else "left", overflow="fold")
    done = {outcome.job.benchmark.dataset: outcome for outcome in outcomes}
    for name in jobs:
        task = BENCHMARKS[name].task
        if name in done:
            outcome = done[name]
            figures = "  ".join(f"{key} {_percent(value)}" for key, value in outcome.figures.items())
            table.add_row(outcome.job.title, task, figures or "-", _speed(outcome), _note(outcome))
        else:
            table.add_row(name, task, "-", "", str(jobs[name]))
    if not console.quiet:
        print_whole(table)
    write_json(folder / "all.json", json_of(jobs, done), indent=1, allow_nan=False)


def json_of(jobs: Mapping[str, Job | str], done: Mapping[str, Outcome]) -> dict[str, Any]:
    """The one table in values that JSON has: benchmark -> figures in percent, note."""
    return {
        name: {"figures": plain(done[name].figures), "note": _note(done[name])}
        if name in done
        else {"figures": {}, "note": job}
        for name, job in jobs.items()
    }


def _note(outcome: Outcome) -> str:
    return ": ".join(str(part) for part in (outcome.note, outcome.submission) if part)


def _speed(outcome: Outcome) -> str:
    return f"{outcome.frames / outcome.seconds:.2f}" if outcome.seconds else "-"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"
