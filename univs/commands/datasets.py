"""`univs datasets`: the public sets that can be read, whether a download of one is whole, and packs for training."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from univs.commands import pack
from univs.commands.argument_types import a_path
from univs.errors import UserError
from univs.evaluation.metrics.score_printing import print_whole
from univs.files import from_home
from univs.terminal import plain_console, progress_bar

if TYPE_CHECKING:
    from univs.formats.checking import SplitReport


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.description = (
        "Lists the public sets that can be read, checks a download (univs datasets check NAME ROOT), or packs the "
        "sources of a training run into one file (univs datasets pack data.root=DATA --out FILE.zip)."
    )
    actions = command.add_subparsers(metavar="check | pack")
    check = actions.add_parser("check", help="say what is missing or unreadable", allow_abbrev=False)
    check.add_argument("name", metavar="NAME", help="of the set (univs datasets)")
    check.add_argument("root", metavar="ROOT", type=a_path, help="the folder it lies in")
    check.add_argument("--split", help="only this one (default: every one that is there)")
    check.add_argument("--json", action="store_true", help="print what was found as JSON in place of the table")
    check.set_defaults(run=run_check)
    packing = actions.add_parser("pack", help="write training data to one file", allow_abbrev=False)
    pack.add_arguments(packing)


def run_list(arguments: argparse.Namespace) -> None:
    """Prints the table of the sets."""
    from rich.table import Table

    from univs.formats import SETS

    table = Table(title="public sets (datasets/README.md has their layouts)", title_justify="left")
    for column in ("name", "set", "splits", "source"):
        table.add_column(column, overflow="fold")
    for name, known in SETS.items():
        table.add_row(name, known.title, ", ".join(known.splits), known.source)
    print_whole(table)


def run_check(arguments: argparse.Namespace) -> None:
    """Prints what was found. Raises UserError, so that the exit status is 2, if anything is missing or unreadable."""
    from univs.formats import find_set

    name, root = arguments.name, from_home(arguments.root)
    reports = check_with_progress(name, root, arguments.split)
    if arguments.json:
        print(json.dumps({"name": name, "root": str(root), "splits": [asdict(report) for report in reports]}, indent=1))
    else:
        print_reports(name, root, reports)
    wrong = [report for report in reports if report.count]
    if wrong:
        count = sum(report.count for report in wrong)
        things = "1 thing is" if count == 1 else f"{count} things are"
        raise UserError(f"{name} in {root}: {things} missing or unreadable; the first: {wrong[0].problems[0]}")
    if not any(report.there for report in reports):
        raise UserError(f"{name}: no split is in {root}; there may be {', '.join(find_set(name).splits)}")


def check_with_progress(name: str, root: Path, split: str | None) -> list[SplitReport]:
    """The reports, with a progress bar on stderr where that is a terminal."""
    from univs.formats.checking import check

    with progress_bar(plain_console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        return check(name, root, split, lambda done, total: bar.update(task, completed=done, total=total))


def print_reports(name: str, root: Path, reports: list[SplitReport]) -> None:
    """A line per split, and below them what is wrong."""
    from rich.table import Table

    table = Table(title=f"{name}: {root}", title_justify="left")
    for column in ("split", "videos", "frames", "annotated", "missing or unreadable"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for report in reports:
        if report.there:
            figures = (report.videos, report.frames, report.annotated, report.count)
            table.add_row(report.split, *map(str, figures))
        else:
            table.add_row(report.split, "not there", "", "", "")
    console = plain_console()
    print_whole(table)
    for report in reports:
        for problem in report.problems:
            console.print(f"{report.split}: {problem}", highlight=False, soft_wrap=True)
        if report.count > len(report.problems):
            console.print(f"{report.split}: and {report.count - len(report.problems)} more", highlight=False)
