"""Masks moved by a few pixels score what plain loops over the truth compute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.run.oracle import export, moved
from tests.evaluation.run.test_oracle import examine
from univs.evaluation.metrics.viposeg_pvos import group_of
from univs.evaluation.run.benchmark_run import Outcome
from univs.formats import Recording
from univs.vocabularies import vocabulary

SHIFT = 3


def shifted(name: str, tmp_path: Path) -> Outcome:
    return examine(name, export(name, tmp_path / "data"), tmp_path / "out", shift=SHIFT)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    both = either = 0
    for a, b in zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True):
        both += a and b
        either += a or b
    return both / either if either else 1.0


def maps(recording: Recording, whole: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """True and predicted map of each frame, 0 where nothing is known."""
    for index in range(len(recording)):
        labels = recording.labels_of(index)
        assert labels is not None
        truth = labels.panoptic if whole and labels.panoptic is not None else labels.objects
        truth = np.where(truth == 255, 0, truth).astype(int)
        yield truth, moved(truth, SHIFT)


def test_davis(tmp_path: Path) -> None:
    outcome = shifted("davis17", tmp_path)
    for recording in outcome.job.recordings:
        found = list(maps(recording))[1:-1]
        assert recording.shown
        for number in recording.shown:
            each = [iou(truth == number, answer == number) for truth, answer in found]
            row = outcome.scores.rows[f"{recording.name}_{number}"]
            assert row["J-Mean"] == pytest.approx(np.mean(each))
    every = [row["J-Mean"] for row in outcome.scores.rows.values()]
    assert outcome.figures["J"] == pytest.approx(100 * np.mean(every)) and 10 < outcome.figures["J"] < 95
    outlines = [row["F-Mean"] for row in outcome.scores.rows.values()]
    assert outcome.figures["F"] == pytest.approx(100 * np.mean(outlines)) != pytest.approx(outcome.figures["J"])
    assert outcome.figures["J&F"] == pytest.approx((outcome.figures["J"] + outcome.figures["F"]) / 2)


def test_youtube_vos(tmp_path: Path) -> None:
    outcome = shifted("ytvos18", tmp_path)
    for recording in outcome.job.recordings:
        found = list(maps(recording))
        for number, start in recording.shown.items():
            each = [iou(truth == number, answer == number) for truth, answer in found[start + 1 :]]
            assert outcome.scores.rows[f"{recording.name}/{number}"]["J_mean"] == pytest.approx(np.mean(each))


def test_expressions(tmp_path: Path) -> None:
    outcome = shifted("ref_ytvos", tmp_path)
    each = []
    for recording in outcome.job.recordings:
        found = list(maps(recording))
        for said in recording.expressions:
            j = np.mean([iou(truth == said.object_id, answer == said.object_id) for truth, answer in found])
            each.append(j)
            assert outcome.scores.figures["per_expression"][f"{recording.name}_{said.key}"]["J"] == pytest.approx(j)
    assert len(each) > 4 and outcome.figures["J"] == pytest.approx(100 * np.mean(each))


def test_annotators(tmp_path: Path) -> None:
    """Each annotator's expressions find the object that they mean, so one that nobody describes has J = 0."""
    outcome = shifted("ref_davis17", tmp_path)
    for annotator, row in outcome.scores.rows.items():
        each = []
        for recording in outcome.job.recordings:
            found = list(maps(recording))
            said = {one.object_id for one in recording.expressions if one.key.startswith(f"{annotator}/")}
            for number in range(1, int(found[0][0].max()) + 1):
                pairs = [(truth == number, (answer == number) & (number in said)) for truth, answer in found]
                each.append(np.mean([iou(truth, answer) for truth, answer in pairs]))
        assert row["J-Mean"] == pytest.approx(np.mean(each))


def test_segments_that_are_shown(tmp_path: Path) -> None:
    outcome = shifted("viposeg", tmp_path)
    every = [
        (recording, number, iou(truth == number, answer == number))
        for recording in outcome.job.recordings
        for number, start in recording.shown.items()
        for truth, answer in list(maps(recording, whole=True))[start + 1 :]
    ]
    by_group = defaultdict(list)
    for recording, number, value in every:
        name = {**recording.categories, **recording.stuff}[number]
        by_group[group_of(vocabulary("viposeg").names.index(name), recording.name)].append(value)
    for group, values in by_group.items():
        assert outcome.scores.figures[f"{group}_miou"] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("name", ["vspw", "camvid"])
def test_classes(name: str, tmp_path: Path) -> None:
    outcome = shifted(name, tmp_path)
    shared, true, predicted = (defaultdict(int) for _ in range(3))
    for recording in outcome.job.recordings:
        for truth, answer in maps(recording, whole=True):
            for a, b in zip(truth.reshape(-1).tolist(), answer.reshape(-1).tolist(), strict=True):
                if a:
                    true[a] += 1
                    predicted[b] += 1
                    shared[a] += a == b
    each = [shared[k] / (true[k] + predicted[k] - shared[k]) for k in true]
    assert outcome.figures["mIoU"] == pytest.approx(100 * np.mean(each)) and np.mean(each) < 0.99
    if name == "camvid":
        assert outcome.figures["accuracy"] == pytest.approx(100 * sum(shared.values()) / sum(true.values()))


@pytest.mark.parametrize("name", ["coco_panoptic", "vipseg"])
def test_panoptic_quality_of_single_frames(name: str, tmp_path: Path) -> None:
    outcome = shifted(name, tmp_path)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])  # class -> IoU of matches, halves of segments
    for recording in outcome.job.recordings:
        names = {**recording.categories, **recording.stuff}
        for truth, answer in maps(recording, whole=True):
            for number in set(np.unique(truth)) - {0}:
                sums[names[number]][1] += 0.5
            for number in set(np.unique(answer)) - {0}:
                sums[names[number]][1] += 0.5
            for number in set(np.unique(truth)) & set(np.unique(answer)) - {0}:
                overlap = iou(truth == number, answer == number)
                sums[names[number]][0] += overlap if overlap > 0.5 else 0.0
    expected = 100 * np.mean([quality / halves for quality, halves in sums.values()])
    found = outcome.figures["PQ"] if name == "coco_panoptic" else outcome.scores.summary["VPQ1"]
    assert found == pytest.approx(expected) and 10 < found < 95


def test_tubes(tmp_path: Path) -> None:
    outcome = shifted("ytvis19", tmp_path)
    count: dict[str, int] = defaultdict(int)
    found: dict[str, list[tuple[float, list[float]]]] = defaultdict(list)  # class -> score, IoU with the true tubes
    for recording in outcome.job.recordings:
        truths, answers = (np.stack(part) for part in zip(*maps(recording), strict=True))
        for number, noun in recording.categories.items():
            count[noun] += 1
            same = [other for other, name in recording.categories.items() if name == noun]
            if (answers == number).any():
                overlaps = [iou(truths == other, answers == number) for other in same]
                found[noun].append((0.9 - 0.01 * number, overlaps))
    numbers = {noun: key for key, noun in outcome.job.data.classes.items()}
    for noun, total in count.items():
        row = outcome.scores.figures["per_category"][numbers[noun]]["AP_per_iou"]
        ranked = sorted(found[noun], key=lambda pair: -pair[0])
        hits = [[max(overlaps) >= 0.5 + 0.05 * k - 1e-12 for _, overlaps in ranked] for k in range(10)]
        assert row == pytest.approx([average_precision(each, total) for each in hits])
    assert 0 < outcome.figures["AP"] < 80


def average_precision(hits: list[bool], total: int) -> float:
    """Mean over 101 recalls of the best precision that is reached there or later."""
    points = [(sum(hits[: k + 1]) / total, sum(hits[: k + 1]) / (k + 1)) for k in range(len(hits))]
    return sum(max((p for recall, p in points if recall >= r / 100 - 1e-9), default=0.0) for r in range(101)) / 101


@pytest.mark.parametrize("name", ["ytvis19", "kitti_mots", "vipseg"])
def test_other_ids_change_nothing(name: str, tmp_path: Path) -> None:
    root = export(name, tmp_path / "data")
    one, other = (examine(name, root, tmp_path / str(offset), shift=SHIFT, offset=offset).scores for offset in (0, 900))
    assert one is not None and other is not None
    assert one.summary == pytest.approx(other.summary, nan_ok=True)
    assert any(value > 0 for value in one.summary.values())
