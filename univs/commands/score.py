"""`univs score`: the official figures of predictions that lie in the layout of a benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from univs.commands.argument_types import a_path
from univs.errors import UserError
from univs.evaluation.metrics.score_printing import plain, print_table, score_with_progress
from univs.evaluation.metrics.scores import METRICS, Metric, find_metric


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.description = f"Scores predictions in the official layout.\n\n{metric_list()}"
    command.add_argument("metric", metavar="METRIC", help="one of the metrics above, or an alias")
    command.add_argument("--gt", type=a_path, required=True, metavar="PATH", help="ground truth")
    command.add_argument("--pred", type=a_path, required=True, metavar="PATH", help="predictions")
    command.add_argument("--task", metavar="TASK", help="which task of a benchmark that has several")
    command.add_argument("--labels", metavar="FORM", help="vspw: raw, if the true maps are as they are downloaded")
    command.add_argument("--interval", metavar="SET", help="vot: whose typical lengths EAO is over, such as vot2018")
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
    given = {"task": arguments.task, "labels": arguments.labels, "interval": arguments.interval}
    options = read_options(name, metric, given)
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
