"""Scores as a person sees them: a bar while they are computed, a table, plain values for JSON."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from univs.devices import cores
from univs.evaluation.metrics.scores import Metric, Scores
from univs.terminal import plain_console, plain_table, progress_bar

if TYPE_CHECKING:
    from rich.table import Table


def score_with_progress(
    name: str, metric: Metric, gt: Path, pred: Path, workers: int | None, options: Mapping[str, str]
) -> Scores:
    """The scores of a metric, with a progress bar on stderr where that is a terminal."""
    score = metric.load()
    # Drawn as videos are done, without a thread of its own: a process with one thread may be forked.
    with progress_bar(plain_console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task(name, total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, refresh=True)

        return score(gt, pred, workers=workers or cores(), progress=progress, **options)


def print_table(title: str, scores: Scores) -> None:
    """One line per video, the summary below."""
    columns = list(dict.fromkeys(key for row in scores.rows.values() for key in row))
    table = plain_table(title, "", *columns, title_justify="left")
    for name, row in scores.rows.items():
        table.add_row(name, *(_number(row[column]) if column in row else "" for column in columns))
    console = plain_console()
    if scores.rows:
        print_whole(table)
    for key, value in scores.summary.items():
        console.print(f"{key:<24} {_number(value)}", highlight=False, soft_wrap=True)


def print_whole(table: Table) -> None:
    """Prints a table; a file has room for all columns, a terminal may not."""
    console = plain_console()
    if not console.is_terminal:
        console = plain_console(width=plain_console(width=10_000).measure(table).maximum)
    console.print(table)


def plain(value: Any) -> Any:
    """The same in plain values for JSON: NaN and infinity become None, keys texts, arrays and numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value)} has no place in JSON")


def _number(value: float) -> str:
    if isinstance(value, numbers.Integral):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"
