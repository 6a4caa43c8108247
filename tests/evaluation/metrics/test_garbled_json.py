"""JSON with anything in place of anything: scorers and readers say one line, or take it."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_datasets import export
from tests.evaluation.metrics.test_tracking import write_burst
from tests.evaluation.metrics.test_youtube_vis import write_set
from univs.errors import UserError
from univs.evaluation.metrics.burst import score as score_burst
from univs.evaluation.metrics.youtube_vis import score as score_tubes
from univs.formats import SETS
from univs.formats.checking import check

TIMES = 60
GARBAGE = (None, "x", -1, float("inf"), float("nan"), [], {}, True, 3.7, 10**30, "é中", [1], {"a": 1}, "../..", "\0")


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in JSON."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def garbled(content: Any, chance: random.Random) -> Any:
    """The same with one value, of any depth alike, replaced or left out."""
    content = json.loads(json.dumps(content))
    every = list(places(content))
    depth = chance.choice(sorted({len(path) for path in every}))
    path = chance.choice([path for path in every if len(path) == depth])
    if not path:
        return chance.choice(GARBAGE)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if chance.random() < 0.2:
        inner.pop(path[-1])
    else:
        inner[path[-1]] = chance.choice(GARBAGE)
    return content


def try_all(files: list[Path], use: Callable[[], object]) -> None:
    chance, refused = random.Random(0), 0
    for number in range(TIMES):
        path = files[number % len(files)]
        whole = path.read_text()
        path.write_text(json.dumps(garbled(json.loads(whole), chance)))
        try:
            use()
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
        path.write_text(whole)
    use()
    assert refused > TIMES / 4


def test_tubes(tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    packed = tmp_path / "gt.json.gz"
    gt.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    try_all([gt, pred], lambda: score_tubes(gt, pred))


def test_burst(tmp_path: Path) -> None:
    gt, pred = write_burst(tmp_path, {"1": 4})
    try_all([gt, pred], lambda: score_burst(gt, pred))


@pytest.mark.parametrize(
    "name", ["ytvis21", "burst", "coco", "entityseg", "sa1b", "ytvos19", "ref_ytvos", "vspw", "vipseg", "coco_panoptic"]
)
def test_readers(name: str, tmp_path: Path) -> None:
    root = export(name, tmp_path)

    def use() -> None:
        for report in check(name, root, SETS[name].splits[0]):
            if report.count:
                raise UserError(report.problems[0])

    try_all(sorted(root.rglob("*.json"))[:2], use)
