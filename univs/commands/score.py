"""`univs score`: the official figures of predictions that lie in the layout of a benchmark."""

from __future__ import annotations

import argparse
import json
import math
import numbers
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.evaluation.scores import METRICS, Metric, Scores, find_metric


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.description = f"Scores predictions in the official layout.\n\n{metric_list()}"
    command.add_argument("metric", metavar="METRIC", help="one of the metrics above, or an alias")
    command.add_argument("--gt", type=Path, required=True, metavar="PATH", help="ground truth")
    command.add_argument("--pred", type=Path, required=True, metavar="PATH", help="predictions")
    command.add_argument("--task", metavar="TASK", help="which task of a benchmark that has several")
    command.add_argument("--workers", type=int, metavar="N", help="processes at most (default: one per core)")
    command.add_argument("--json", action="store_true", help="print all figures as JSON in place of the table")


def metric_list() -> str:
    """The metrics and what their paths are, as text."""
    lines = ["METRIC (aliases): --gt, --pred"]
    for name, metric in METRICS.items():
        aliases = f" ({', '.join(metric.aliases)})" if metric.aliases else ""
        lines.append(f"  {name}{aliases}\n      {metric.text}\n      --gt {metric.gt}; --pred {metric.pred}")
        lines += [f"      --{key} {' | '.join(values)}" for key, values in metric.options.items()]
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> None:
    """Score and print. Raises UserError for whatever is wrong with the arguments or the files."""
    name, metric = find_metric(arguments.metric)
    options = read_options(name, metric, {"task": arguments.task})
    for option, path in (("--gt", arguments.gt), ("--pred", arguments.pred)):
        if not path.exists() and not path.with_name(f"{path.name}.gz").exists():
            holds = metric.gt if option == "--gt" else metric.pred
            raise UserError(f"{option} {path} does not exist; {name} expects {holds}")
    if arguments.workers is not None and arguments.workers < 1:
        raise UserError("--workers must be at least 1")
    scores = score_with_progress(name, metric, arguments.gt, arguments.pred, arguments.workers, options)
    if arguments.json:
        print(json.dumps(plain(scores.figures), indent=1, allow_nan=False))
    else:
        print_table(f"{name}: {metric.text}", scores)


def read_options(name: str, metric: Metric, given: Mapping[str, str | None]) -> dict[str, str]:
    """The options of a metric, those not given by default. UserError for one that it does not have, or its value."""
    chosen = {key: values[0] for key, values in metric.options.items()}
    for key, value in given.items():
        if value is None:
            continue
        if key not in metric.options:
            raise UserError(f"--{key}: {name} has no such choice")
        if value not in metric.options[key]:
            raise UserError(f"--{key} {value}: {name} has {' and '.join(metric.options[key])}")
        chosen[key] = value
    return chosen


def score_with_progress(
    name: str, metric: Metric, gt: Path, pred: Path, workers: int | None, options: Mapping[str, str]
) -> Scores:
    """The scores, with a progress bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from univs.evaluation.by_video import default_workers

    score = metric.load()
    # Drawn as videos are done, without a thread of its own: a process with one thread may be forked.
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task(name, total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, refresh=True)

        return score(gt, pred, workers=workers or default_workers(), progress=progress, **options)


def print_table(title: str, scores: Scores) -> None:
    """One line per video, the summary below."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    columns = list(dict.fromkeys(key for row in scores.rows.values() for key in row))
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in scores.rows.items():
        table.add_row(name, *(_number(row[column]) if column in row else "" for column in columns))
    console = Console()
    if scores.rows:
        if not console.is_terminal:  # a file has room for all columns
            console = Console(width=Console(width=10_000).measure(table).maximum)
        console.print(table)
    for key, value in scores.summary.items():
        console.print(f"{key:<24} {_number(value)}", highlight=False, soft_wrap=True)


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
