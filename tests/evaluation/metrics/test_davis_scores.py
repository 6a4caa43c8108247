"""DAVIS-2017 from files: which frames, objects and proposals count. The golden cases are in tests/conformance."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.davis import boundary_f, jaccard, measure_objects, measure_pairs, window
from univs.evaluation.metrics.davis_scores import (
    score_ref_davis17,
    score_semisupervised,
    score_unsupervised,
    semisupervised,
    unsupervised,
)
from univs.evaluation.metrics.score_files import LabelFolders

SIZE = (36, 48)


def boxes(**places: tuple[int, int, int, int]) -> np.ndarray:
    """A label map with boxes: o3=(top, left, bottom, right) is object 3."""
    labels = np.zeros(SIZE, np.uint8)
    for name, (top, left, bottom, right) in places.items():
        labels[top:bottom, left:right] = int(name[1:])
    return labels


def write(folder: Path, frames: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for t, labels in enumerate(frames):
        Image.fromarray(labels).save(folder / f"{t:05d}.png")
    return folder


def sequence(folder: Path, truth: list[np.ndarray], prediction: list[np.ndarray]) -> LabelFolders:
    frames = tuple(f"{t:05d}" for t in range(len(truth)))
    return LabelFolders("dance", write(folder / "truth", truth), write(folder / "prediction", prediction), frames)


def noisy_maps(seed: int, ids: int, frames: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, ids + 1, (frames, 6, 8), dtype=np.uint8)
    return [labels.repeat(6, 0).repeat(6, 1) for labels in coarse]


def test_objects_of_label_maps_are_measured_as_their_masks_are() -> None:
    prediction, truth = noisy_maps(0, 4, 2)
    ids = [1, 2, 3, 4, 9]
    expected = [[f(prediction == k, truth == k) for k in ids] for f in (jaccard, boundary_f)]
    np.testing.assert_allclose(measure_objects(prediction, truth, ids), expected, rtol=0, atol=1e-15)
    masks = [prediction == k for k in ids], [truth == k for k in ids]
    pairs = [[[f(one, other) for other in masks[1]] for one in masks[0]] for f in (jaccard, boundary_f)]
    np.testing.assert_allclose(measure_pairs(*masks), pairs, rtol=0, atol=1e-15)


def test_a_window_keeps_the_rim_and_the_edges_of_the_image() -> None:
    mask = np.zeros((10, 12), bool)
    mask[3:5, 6:12] = True
    assert window(mask) == (slice(2, 6), slice(5, 13))
    assert mask[window(np.zeros((10, 12), bool))].sum() == 0


def test_a_late_object_and_a_void_strip_do_not_count(tmp_path: Path) -> None:
    truth = [boxes(o2=(4, 4, 14, 14)) for _ in range(5)]
    truth[2][20:30, 20:30] = 3  # comes too late
    truth[2][4:14, 12:14] = 255  # background in this task
    prediction = [boxes(o2=(4, 4, 14, 14)) for _ in range(5)]
    figures = semisupervised(sequence(tmp_path, truth, prediction))
    assert figures.shape == (2, 2, 3)  # ids 1 (never there) and 2; frames 1 to 3
    assert figures[0].tolist() == [[1, 1, 1], [1, pytest.approx(80 / 100), 1]]


def test_predictions_for_the_first_and_last_frame_are_not_needed(tmp_path: Path) -> None:
    name = write_data_set(tmp_path, "Annotations", [boxes(o1=(4, 4, 14, 14))] * 4)
    for frame in ("00000", "00003"):
        (tmp_path / "results" / name / f"{frame}.png").unlink()
    scores = score_semisupervised(tmp_path / "DAVIS", tmp_path / "results")
    assert scores.summary["J&F-Mean"] == 1 and scores.summary["J-Decay"] == 0


def test_proposals_find_their_objects_whatever_their_numbers(tmp_path: Path) -> None:
    truth = [boxes(o1=(2, 2, 12, 12), o2=(20, 20, 30, 30))] * 3
    prediction = [boxes(o7=(2, 2, 12, 12), o3=(20, 20, 30, 25), o5=(30, 40, 34, 44))] * 3
    figures = unsupervised(sequence(tmp_path, truth, prediction))
    assert figures[0].mean(1).tolist() == [0.5, 1.0]  # in the order of the proposals: 3, then 7


def test_all_frames_count_and_void_is_nowhere(tmp_path: Path) -> None:
    truth = [boxes(o1=(2, 2, 12, 12)) for _ in range(3)]
    prediction = [boxes(o1=(2, 2, 12, 12)) for _ in range(3)]
    prediction[0][:] = 0  # the first frame counts: 0
    truth[1][2:12, 2:7] = 255
    prediction[1][2:12, 2:4] = 0  # wrong, but void
    truth[2][:] = 255  # the whole object is void: empty in both
    figures = unsupervised(sequence(tmp_path, truth, prediction))
    assert figures[:, 0].tolist() == [[0, 1, 1], [0, 1, 1]]


def test_an_object_without_a_proposal_gets_an_empty_one(tmp_path: Path) -> None:
    truth = [boxes(o1=(2, 2, 12, 12), o2=(20, 20, 30, 30)), boxes(o1=(2, 2, 12, 12))]
    figures = unsupervised(sequence(tmp_path, truth, [boxes(o1=(2, 2, 12, 12))] * 2))
    assert figures[0].tolist() == [[1, 1], [0, 1]]  # absent and not shown: 1


@pytest.mark.parametrize("seed", range(4))
def test_the_assignment_is_the_best_of_all(tmp_path: Path, seed: int) -> None:
    truth, prediction = noisy_maps(seed, 3, 3), noisy_maps(seed + 50, 4, 3)
    truth[0][0, :3] = (1, 2, 3)
    figures = unsupervised(sequence(tmp_path, truth, prediction))
    pairs = np.mean(
        [
            [[(jaccard(p == n, t == m) + boundary_f(p == n, t == m)) / 2 for m in (1, 2, 3)] for n in (1, 2, 3, 4)]
            for p, t in zip(prediction, truth, strict=True)
        ],
        0,
    )
    best = max(sum(pairs[n, m] for m, n in enumerate(chosen)) for chosen in itertools.permutations(range(4), 3))
    assert figures.mean(2).mean(0).sum() == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("number", [21, 255])
def test_more_than_twenty_proposals_are_refused(tmp_path: Path, number: int) -> None:
    truth = [boxes(o1=(2, 2, 12, 12))]
    prediction = boxes(o1=(2, 2, 12, 12))
    prediction[0, 0] = number
    with pytest.raises(UserError, match=f"holds id {number}; dance has at most 20 proposals"):
        unsupervised(sequence(tmp_path, truth, [prediction]))


def write_data_set(folder: Path, annotations: str, frames: list[np.ndarray], results: str = "results") -> str:
    """One sequence, predicted rightly, with its list; its name."""
    (folder / "DAVIS" / "ImageSets" / "2017").mkdir(parents=True, exist_ok=True)
    (folder / "DAVIS" / "ImageSets" / "2017" / "val.txt").write_text("dance")
    write(folder / "DAVIS" / annotations / "480p" / "dance", frames)
    write(folder / results / "dance", frames)
    return "dance"


def test_four_annotators_are_averaged(tmp_path: Path) -> None:
    frames = [boxes(o1=(2, 2, 12, 12), o2=(20, 20, 30, 30))] * 3
    for name in ("anno_0", "anno_1", "anno_2", "anno_3"):
        write_data_set(tmp_path, "Annotations_unsupervised", frames, f"results/{name}")
    write(tmp_path / "results" / "anno_1" / "dance", [np.where(f, 3 - f, 0).astype(np.uint8) for f in frames])
    write(tmp_path / "results" / "anno_3" / "dance", [np.where(f == 1, 1, 0).astype(np.uint8) for f in frames])
    scores = score_ref_davis17(tmp_path / "DAVIS", tmp_path / "results")
    assert [row["J-Mean"] for row in scores.rows.values()] == [1, 1, 1, 0.5]  # swapped expressions cost nothing
    assert scores.summary["J&F-Mean"] == pytest.approx(3.5 / 4)
    with pytest.raises(UserError, match="anno_0 does not exist"):
        score_ref_davis17(tmp_path / "DAVIS", tmp_path / "DAVIS")


def test_a_sequence_without_objects_has_no_rows(tmp_path: Path) -> None:
    write_data_set(tmp_path, "Annotations_unsupervised", [boxes()] * 3)
    scores = score_unsupervised(tmp_path / "DAVIS", tmp_path / "results")
    assert not scores.rows and math.isnan(scores.summary["J&F-Mean"])


def test_what_systems_leave_in_folders_is_passed_over(tmp_path: Path) -> None:
    frames = [boxes(o1=(2, 3, 20, 20), o2=(20, 20, 30, 40))] * 4
    name = write_data_set(tmp_path, "Annotations", frames)
    clean = score_semisupervised(tmp_path / "DAVIS", tmp_path / "results").summary
    for folder in (tmp_path / "DAVIS" / "Annotations" / "480p" / name, tmp_path / "results" / name):
        for stray in ("._00001.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / stray).write_bytes(b"\0\5\26\7")
    (tmp_path / "DAVIS" / "Annotations" / "480p" / "__MACOSX").mkdir()
    list_file = tmp_path / "DAVIS" / "ImageSets" / "2017" / "val.txt"
    list_file.write_bytes(b"\xef\xbb\xbf" + list_file.read_bytes().replace(b"\n", b"\r\n"))
    assert score_semisupervised(tmp_path / "DAVIS", tmp_path / "results").summary == clean
