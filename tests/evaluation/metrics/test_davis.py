"""J and F against slow references written from the definition, and against the official tools' figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from univs.evaluation.metrics.davis import ObjectScore, SemiSupervised, boundary_f, boundary_map, jaccard, summarize


def reference_boundary(mask: np.ndarray) -> np.ndarray:
    """The outline, pixel by pixel, as the definition reads."""
    height, width = mask.shape
    outline = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            if y == height - 1 and x == width - 1:
                continue
            right = mask[y, x] ^ mask[y, min(x + 1, width - 1)]
            below = mask[y, x] ^ mask[min(y + 1, height - 1), x]
            corner = mask[y, x] ^ mask[min(y + 1, height - 1), min(x + 1, width - 1)]
            outline[y, x] = right | below | corner
    return outline


def reference_f(prediction: np.ndarray, truth: np.ndarray, radius: int) -> float:
    """F by dilation with a disk."""
    span = np.arange(-radius, radius + 1)
    disk = span[:, None] ** 2 + span**2 <= radius**2
    a, b = reference_boundary(prediction), reference_boundary(truth)
    near_a, near_b = (ndimage.binary_dilation(m, disk) for m in (a, b))
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    precision, recall = (a & near_b).sum() / a.sum(), (b & near_a).sum() / b.sum()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def blobs(seed: int, size: tuple[int, int], sigma: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=size)
    return ndimage.gaussian_filter(noise, sigma) > 0


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_the_definition(seed: int) -> None:
    size = (61 + 7 * seed, 90)
    prediction, truth = blobs(seed, size, 1 + seed % 4), blobs(seed + 100, size, 2)
    assert np.array_equal(boundary_map(truth), reference_boundary(truth))
    for radius in (1, 2, 5):
        assert boundary_f(prediction, truth, radius) == pytest.approx(reference_f(prediction, truth, radius), abs=1e-12)
    implied = math.ceil(0.008 * math.hypot(*size))
    assert boundary_f(prediction, truth) == boundary_f(prediction, truth, implied)
    assert jaccard(prediction, truth) == (prediction & truth).sum() / (prediction | truth).sum()


def test_the_tolerance_is_a_disk_with_its_rim() -> None:
    one, other = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    one[10, 10] = True
    other[13, 14] = True  # 3 down, 4 right: exactly 5 away
    assert boundary_f(one, other, 5) == 1.0
    assert boundary_f(one, other, 4) < 1.0


def test_empty_and_full_masks() -> None:
    empty, full, dot = np.zeros((20, 30), bool), np.ones((20, 30), bool), np.zeros((20, 30), bool)
    dot[5, 5] = True
    assert jaccard(empty, empty) == 1.0 and boundary_f(empty, empty) == 1.0
    assert jaccard(empty, dot) == 0.0 and boundary_f(empty, dot) == 0.0 == boundary_f(dot, empty)
    assert boundary_f(full, empty) == 1.0  # a mask that fills the frame has no outline
    with pytest.raises(ValueError, match="one size"):
        jaccard(empty, full[:10])


def test_statistics() -> None:
    values = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    statistics = summarize(values)
    assert statistics.mean == pytest.approx(0.55)
    assert statistics.recall == 0.5  # a figure of 0.5 is not above 0.5
    # cuts at round(1, 2.75, 4.5, 6.25, 8) = 1 3 5 6 8 (halves go up): first quarter of three frames, last of three
    assert statistics.decay == pytest.approx((0.9 + 0.8 + 0.7) / 3 - (0.4 + 0.3 + 0.2) / 3)
    assert math.isnan(summarize([]).mean)
    long = summarize(np.linspace(1, 0, 1000))
    assert long.decay == pytest.approx(0.75, abs=1e-3)


def test_first_and_last_frame_are_left_out() -> None:
    truth = np.zeros((12, 12), np.uint8)
    truth[2:6, 2:6], truth[8:11, 8:11] = 1, 3
    right, wrong = truth.copy(), np.zeros_like(truth)
    scoring = SemiSupervised()
    for prediction in (wrong, right, right, wrong):
        scoring.update(prediction, truth)
    scores = scoring.compute()
    assert list(scores) == [1, 2, 3]  # a hole in the ids is an object that is never there
    assert [score.j.mean for score in scores.values()] == [1.0, 1.0, 1.0]
    assert math.isnan(scores[1].jaccards[0]) and math.isnan(scores[1].jaccards[-1]) and len(scores[1].jaccards) == 4
    assert SemiSupervised().compute() == {}


def test_only_the_objects_that_are_named_count() -> None:
    """Whatever their ids: neither those below them, nor others on the first map, nor those that come later."""
    truth = np.zeros((4, 12, 12), np.uint8)
    truth[:, 2:6, 2:6], truth[:, 8:11, 8:11], truth[2:, 8:11, 0:2] = 38, 41, 5
    scoring = SemiSupervised(objects={38})
    for labels in truth:
        scoring.update(np.where(labels == 38, labels, 0), labels)
    scores = scoring.compute()
    assert list(scores) == [38] and scores[38].jaccards[1:3] == (1.0, 1.0)


def read_labels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def score_folders(truth: Path, prediction: Path, merge: bool) -> dict[int, ObjectScore]:
    scoring = SemiSupervised(merge)
    files = sorted(truth.glob("*.png"))
    for number, file in enumerate(files):
        shown = prediction / file.name
        labels = read_labels(file)
        evaluated = 0 < number < len(files) - 1
        scoring.update(read_labels(shown) if evaluated else np.zeros_like(labels), labels)
    return scoring.compute()


def assert_figures(actual: list[float], expected: list[float | None]) -> None:
    np.testing.assert_allclose(actual, [math.nan if v is None else v for v in expected], rtol=0, atol=1e-9)


@pytest.mark.conformance
def test_davis2016_golden_figures(conformance: Path) -> None:
    cases = [p for p in sorted((conformance / "metrics" / "davis2016_jft").iterdir()) if p.is_dir()]
    assert cases
    for case in cases:
        expected = json.loads((case / "expected.json").read_text())["per_sequence"]
        for name, figures in expected.items():
            folder = case / "DAVIS" / "Annotations" / "480p" / name
            score = score_folders(folder, case / "results" / name, merge=True)[1]
            for statistics, per_frame, measure in ((score.j, score.jaccards, "J"), (score.f, score.boundaries, "F")):
                golden = figures[measure]
                assert_figures(list(per_frame), golden["per_frame"])
                assert_figures(
                    [statistics.mean, statistics.recall, statistics.decay],
                    [golden["mean"], golden["recall"], golden["decay"]],
                )


@pytest.mark.conformance
def test_davis2017_golden_figures(conformance: Path) -> None:
    cases = [p for p in sorted((conformance / "metrics" / "davis2017_semisupervised").iterdir()) if p.is_dir()]
    assert cases
    for case in cases:
        expected = json.loads((case / "expected.json").read_text())["per_object"]
        names = (case / "DAVIS" / "ImageSets" / "2017" / "val.txt").read_text().split()
        seen = 0
        for name in names:
            folder = case / "DAVIS" / "Annotations" / "480p" / name
            for number, score in score_folders(folder, case / "results" / name, merge=False).items():
                golden = expected[f"{name}_{number}"]
                for statistics, measure in ((score.j, "J"), (score.f, "F")):
                    actual = [statistics.mean, statistics.recall, statistics.decay]
                    assert_figures(actual, [golden[f"{measure}-{part}"] for part in ("Mean", "Recall", "Decay")])
                seen += 1
        assert seen == len(expected)
