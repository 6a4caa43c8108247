"""`univs benchmark metrics`: seconds of our scorers beside those of the official tools, on the same larger sets.

ROOT holds timing.json (seconds of the official tools) and large/METRIC (ground truth and predictions in the official
layout). What counts is the call of the scorer in this process and its workers, reading included, imports not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from univs.commands.argument_types import Parser, a_path
from univs.errors import UserError
from univs.evaluation.metrics.score_files import need_folder, read_json
from univs.evaluation.metrics.scores import METRICS
from univs.terminal import plain_console, plain_table

PATHS = {
    "davis2017_semisupervised": ("DAVIS", "results"),
    "davis2017_unsupervised": ("DAVIS", "results"),
    "youtube_vis": ("gt.json", "results.json"),
    "vipseg_vpq_stq": (".", "submit"),
    "vspw": ("VSPW", "predictions"),
}
"""Ground truth and predictions of each set, below its folder."""


def main(argv: Sequence[str]) -> int:
    """Print the table. Raises UserError for options and folders that cannot be used."""
    parser = Parser("univs benchmark metrics", description=__doc__)
    parser.add_argument("--root", type=a_path, required=True, metavar="DIR", help="folder of timing.json and large/")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes at most (default: 2)")
    options = parser.parse_args(argv)
    if options.workers < 1:
        raise UserError("--workers must be at least 1")
    official = read_official(options.root / "timing.json")
    folder = need_folder(options.root / "large", "METRIC folders")
    sets = [name for name in PATHS if name in METRICS and name in official and (folder / name).is_dir()]
    if not sets:
        raise UserError(f"{folder} holds none of {', '.join(PATHS)}")
    title = f"seconds to score, {options.workers} processes, reading included"
    table = plain_table(title, "", "univs", "official", "times faster", title_justify="left")
    for name in sets:
        ours, theirs = measure(name, folder / name, options.workers), official[name]
        table.add_row(name, f"{ours:.2f}", f"{theirs:.1f}", f"{theirs / ours:.1f}")
    plain_console().print(table)
    return 0


def read_official(path: Path) -> dict[str, float]:
    """Set -> seconds of the official tool. Raises UserError for a file without them."""
    content = read_json(path, "seconds of the official tools")
    try:
        return {str(name): official_seconds(told) for name, told in content["sets"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f'{path} has no seconds of sets; expected {{"sets": {{"vspw": {{"seconds": 1.5}}}}}}') from None


def measure(name: str, case: Path, workers: int) -> float:
    """Seconds of one scoring of a set."""
    score = METRICS[name].load()
    gt, pred = PATHS[name]
    start = time.perf_counter()
    score(case / gt, case / pred, workers=workers)
    return time.perf_counter() - start


def official_seconds(told: Mapping[str, Any]) -> float:
    """The `seconds` of a set in timing.json; of its parts, where it is given part by part, the sum."""
    if "seconds" in told:
        return float(told["seconds"])
    return sum(float(part["seconds"]) for part in told.values() if isinstance(part, Mapping) and "seconds" in part)
