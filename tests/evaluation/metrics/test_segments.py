"""Mask IoU of the tasks against slow loops over pixels, and the truth's own score."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from univs.evaluation.metrics.segments import (
    IGNORE,
    FollowedObjects,
    Overlaps,
    matched_tracks,
    panoptic_quality,
)
from univs.evaluation.metrics.tallies import mean, total

NAMES = {1: "cat", 2: "cat", 3: "dog", 4: "sky", 5: "grass"}
ANSWERED = {11: "cat", 12: "cat", 13: "cat", 14: "sky", 15: "bird", 16: "dog"}


@pytest.fixture
def video() -> tuple[np.ndarray, np.ndarray]:
    """Answer (ids 11..16, 0) and truth (1..5, 255), 4 x 12 x 16, made of blocks so that some overlaps are large."""
    rng = np.random.default_rng(3)
    truth = rng.permutation(np.arange(12) % 5 + 1).reshape(1, 3, 4).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    answer = np.array([0, 11, 12, 16, 14, 13])[truth]
    noise = rng.random(truth.shape)
    answer[noise < 0.15] = rng.integers(11, 17, truth.shape)[noise < 0.15]
    answer[(noise > 0.15) & (noise < 0.2)] = 0
    truth[noise > 0.95] = IGNORE
    return answer.astype(np.int32), truth.astype(np.uint8)


def fed(answer: np.ndarray, truth: np.ndarray) -> Overlaps:
    overlaps = Overlaps()
    for labels, right in zip(answer, truth, strict=True):
        overlaps.update_labels(labels, right)
    return overlaps


def slow_iou(answer: np.ndarray, truth: np.ndarray, number: int, true: int) -> float:
    shared = either = 0
    for a, t in zip(answer.reshape(-1).tolist(), truth.reshape(-1).tolist(), strict=True):
        if t != IGNORE:
            shared += a == number and t == true
            either += a == number or t == true
    return shared / either


def test_overlaps_are_those_of_a_loop_over_pixels(video):
    answer, truth = video
    overlaps = fed(answer, truth)
    assert set(overlaps.answered) == set(ANSWERED)
    assert overlaps.true == [1, 2, 3, 4, 5]
    iou = overlaps.iou(ANSWERED, NAMES)
    for (row, number), (column, true) in itertools.product(enumerate(ANSWERED), enumerate(NAMES)):
        assert iou[row, column] == pytest.approx(slow_iou(answer, truth, number, true), abs=1e-12)


def test_masks_that_overlap_count_each_for_itself(video):
    answer, truth = video
    whole = Overlaps()
    for labels, right in zip(answer, truth, strict=True):
        whole.update({number: labels == number for number in ANSWERED} | {99: labels > 0}, right)
    np.testing.assert_array_equal(whole.iou(ANSWERED, NAMES), fed(answer, truth).iou(ANSWERED, NAMES))
    assert whole.iou([99], [1])[0, 0] == pytest.approx(slow_iou((answer > 0) * 99, truth, 99, 1))


def test_tracks_are_matched_for_the_largest_sum(video):
    answer, truth = video
    tally = matched_tracks(fed(answer, truth), ANSWERED, {1: "cat", 2: "cat", 3: "dog"})
    best = max(
        slow_iou(answer, truth, a, 1) + slow_iou(answer, truth, b, 2)
        for a, b in itertools.permutations((11, 12, 13), 2)
    )
    assert tally["cat"] == (pytest.approx(best), 2.0)
    assert tally["dog"] == (pytest.approx(slow_iou(answer, truth, 16, 3)), 1.0)
    assert set(tally) == {"cat", "dog"}


def test_class_iou_is_that_of_maps_of_names(video):
    answer, truth = video
    tally = Overlaps.class_iou(fed(answer, truth), ANSWERED, NAMES)
    assert set(tally) == {*NAMES.values(), *ANSWERED.values()}
    for name in tally:
        shared = either = 0
        for a, t in zip(answer.reshape(-1).tolist(), truth.reshape(-1).tolist(), strict=True):
            if t in NAMES:
                shared += ANSWERED.get(a) == name and NAMES[t] == name
                either += ANSWERED.get(a) == name or NAMES[t] == name
        assert tally[name] == (shared, either)


def test_pixels_whose_truth_has_no_name_are_left_out(video):
    answer, truth = video
    few = {1: "cat", 4: "sky"}
    masked = np.where(np.isin(truth, list(few)), truth, IGNORE).astype(np.uint8)
    assert Overlaps.class_iou(fed(answer, truth), ANSWERED, few) == Overlaps.class_iou(
        fed(answer, masked), ANSWERED, few
    )


def test_panoptic_quality_is_that_of_its_definition(video):
    answer, truth = video
    tally = panoptic_quality(fed(answer, truth), ANSWERED, NAMES)
    for name in {*NAMES.values(), *ANSWERED.values()}:
        mine, right = [a for a in ANSWERED if ANSWERED[a] == name], [t for t in NAMES if NAMES[t] == name]
        ious = [slow_iou(answer, truth, a, t) for a in mine for t in right]
        hits = [iou for iou in ious if iou > 0.5]
        false_positives, misses = len(mine) - len(hits), len(right) - len(hits)
        expected = (sum(hits), len(hits) + false_positives / 2 + misses / 2)
        assert tally[name] == pytest.approx(expected), name
    assert any(numerator > 0 for numerator, _ in tally.values())


def test_the_truth_itself_scores_full_and_nothing_scores_nothing(video):
    _, truth = video
    itself = fed(np.where(truth == IGNORE, 1, truth), truth)
    nothing = fed(np.zeros_like(truth), truth)
    for measure in (Overlaps.class_iou, matched_tracks, panoptic_quality):
        assert mean(measure(itself, NAMES, NAMES)) == 1.0
        assert mean(measure(nothing, {}, NAMES)) == 0.0


def test_j_of_objects_from_the_frame_after_the_prompt_on():
    truth = np.zeros((4, 6, 8), np.uint8)
    truth[1:, :2, :4] = 7
    truth[:, 5] = IGNORE
    answer = np.zeros_like(truth)
    answer[:, :2, 2:6] = 1
    answer[:, 5] = 1
    scoring = FollowedObjects({1: "a", 2: "b", 3: "late"}, {1: 1, 2: 0, 3: 4}, {1: 7, 2: 9, 3: 7})
    for t in range(4):
        scoring.update(t, lambda number, t=t: answer[t] == number, truth[t])
    assert scoring.compute() == {"a": (pytest.approx(4 / 12), 1.0), "b": (1.0, 1.0)}  # b is neither there nor answered


def test_tallies_add_up():
    sum_of_two = total([{"a": (1.0, 2.0), "b": (0.0, 1.0)}, {"a": (3.0, 6.0), "c": (0.0, 0.0)}])
    assert sum_of_two == {"a": (4.0, 8.0), "b": (0.0, 1.0), "c": (0.0, 0.0)}
    assert mean(sum_of_two) == 0.25 and mean(sum_of_two, ["a", "x"]) == 0.5 and math.isnan(mean(sum_of_two, ["c"]))
