"""Every golden case of every metric, scored by what `univs score` would run; cases are found by listing the folders."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from univs.commands.score import plain
from univs.evaluation.metrics.scores import METRICS

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = Path(os.environ.get("UNIVS_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance")) / "metrics"

PATHS: dict[str, tuple[str, str]] = {
    "davis2016_jft": ("DAVIS", "results"),
    "davis2017_semisupervised": ("DAVIS", "results"),
    "davis2017_unsupervised": ("DAVIS", "results"),
    "ref_davis17": ("DAVIS", "results"),
    "youtube_vos": (".", "results/Annotations"),
    "youtube_vis": ("gt.json", "results.json"),
    "panoptic_quality": ("gt.json", "pred.json"),
    "vipseg_vpq_stq": (".", "submit"),
    "vspw": ("VSPW", "predictions"),
    "ref_expressions": (".", "predictions"),
    "viposeg_pvos": ("valid", "results"),
    "burst": ("gt/all_classes.json", "pred/results.json"),
    "kitti_mots": ("gt", "trackers/mine"),
    "kitti_step_stq": ("gt", "pred"),
    "interactive": (".", "predictions"),
}
"""Ground truth and predictions within a case."""
TASK_PREDICTIONS = {("burst", "exemplar_guided"): "pred_exemplar/results.json"}

TOLERANCE = {"vspw": 1e-7, "interactive": 1e-7}
NOT_FIGURES = ("note", "provenance", "robot_object_ids")
"""Remarks; what the robot draws, which is partly left to chance and changes no figure."""

CASES = [(path.parent.name, path.name) for path in sorted(ROOT.glob("*/*")) if path.is_dir()]


@pytest.mark.conformance
@pytest.mark.parametrize(("folder", "name"), CASES)
def test_the_golden_figures(folder: str, name: str, conformance: Path) -> None:
    metric = name if folder == "large" else folder
    assert metric in METRICS, f"{metric} is not among the metrics of `univs score`"
    case = ROOT / folder / name
    expected = large_figures(metric) if folder == "large" else json.loads((case / "expected.json").read_text())
    for task in METRICS[metric].options.get("task", ("",)):
        gt, pred = PATHS[metric]
        pred = TASK_PREDICTIONS.get((metric, task), pred)
        options = {"task": task} if task else {}
        scores = METRICS[metric].load()(case / gt, case / pred, workers=2 if folder == "large" else 1, **options)
        wanted = {key: value for key, value in expected.items() if not task or key.startswith(task)}
        assert wanted
        wrong = list(differences(plain(scores.figures), wanted, metric))
        assert not wrong, f"{len(wrong)} figures differ: " + "; ".join(wrong[:8])
        assert scores.summary and all(isinstance(value, (int, float)) for value in scores.summary.values())


def large_figures(metric: str) -> dict[str, Any]:
    """Figures of the official tool on the large set of a metric, under the names of expected.json."""
    official = json.loads((ROOT / "timing.json").read_text())["sets"][metric]
    if metric == "vipseg_vpq_stq":
        kinds = ("vpq_all", "vpq_thing", "vpq_stuff")
        rows = [dict(zip(kinds, map(float, text.split()), strict=True)) for text in official["vpq"]["per_window"]]
        stq = dict(text.replace(" ", "").split(":") for text in official["stq"]["result"])
        windows = {str(window): row for window, row in zip(official["vpq"]["windows"], rows, strict=True)}
        return {"vpq_by_window": windows, "stq": {key: float(value) for key, value in stq.items()}}
    return {"stats" if metric == "youtube_vis" else "global": official["expected"]}


def differences(actual: Any, expected: Any, metric: str, path: str = "") -> Iterator[str]:
    """What of the expected figures is missing or off by more than the tolerance, by its path."""
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            if key in NOT_FIGURES:
                continue
            if not isinstance(actual, Mapping) or key not in actual:
                yield f"{path}/{key} is missing"
            else:
                yield from differences(actual[key], value, metric, f"{path}/{key}")
    elif isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            yield f"{path} is {actual!r:.100}, not {expected!r:.100}"
        else:
            for number, (ours, value) in enumerate(zip(actual, expected, strict=True)):
                yield from differences(ours, value, metric, f"{path}[{number}]")
    elif isinstance(expected, float) and isinstance(actual, (int, float)):
        if not math.isclose(actual, expected, rel_tol=0, abs_tol=TOLERANCE.get(metric, 1e-9)):
            yield f"{path} is {actual}, not {expected}"
    elif actual != expected:
        yield f"{path} is {actual!r:.100}, not {expected!r:.100}"
