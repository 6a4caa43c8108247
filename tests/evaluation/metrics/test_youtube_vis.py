"""AP of tubes: matching and precision against loops, masks against pixels, files that are wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from univs.errors import UserError
from univs.evaluation.metrics.tube_precision import match, precision_at_recalls, reached_recall
from univs.evaluation.metrics.youtube_vis import score

SIZE = (12, 16)
THRESHOLDS = np.array([0.5, 0.75, 0.9])


def slow_match(iou: np.ndarray, excused: np.ndarray, outside: np.ndarray, crowd: np.ndarray, threshold: float) -> Any:
    """The official rules, detection by detection: 1 right, 0 wrong, -1 ignored."""
    taken: set[int] = set()
    fates = []
    for d in range(len(iou)):
        best = None
        for group in (False, True):
            for g in range(iou.shape[1]):
                if excused[g] != group or (g in taken and not crowd[g]) or iou[d, g] < min(threshold, 1 - 1e-10):
                    continue
                if best is None or iou[d, g] >= iou[d, best]:
                    best = g
            if best is not None:
                break
        if best is None:
            fates.append(-1 if outside[d] else 0)
        else:
            taken.add(best)
            fates.append(-1 if excused[best] else 1)
    return fates


@pytest.mark.parametrize("seed", range(20))
def test_matching_is_greedy_as_the_rules_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    iou = rng.integers(3, 11, (7, 5)) / 10  # many are equal, some are a threshold
    crowd = rng.random(5) < 0.2
    excused = np.stack([crowd, crowd | (rng.random(5) < 0.4)])
    outside = rng.random((2, 7)) < 0.5
    found = match(iou, np.arange(7.0)[::-1], excused, outside, crowd, THRESHOLDS)
    for r in range(2):
        for t, threshold in enumerate(THRESHOLDS):
            fates = [int(a) - int(b) for a, b in zip(found.right[r, t], found.ignored[r, t], strict=True)]
            assert fates == slow_match(iou, excused[r], outside[r], crowd, threshold)
    assert found.true.tolist() == (~excused).sum(1).tolist()


def test_precision_over_videos_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(4)
    none, videos = np.zeros(3, bool), []
    for _ in range(6):
        iou = rng.random((4, 3))
        scores = np.sort(rng.integers(1, 6, 4) / 5)[::-1]
        videos.append(match(iou, scores, none[None], rng.random((1, 4)) < 0.3, none, THRESHOLDS))
    precision, recall = precision_at_recalls(videos, (1, 3)), reached_recall(videos, (1, 3))
    for t in range(3):
        rows = [(-s, k) for k, s in enumerate(np.concatenate([v.scores for v in videos]))]
        right = np.concatenate([v.right[0, t] for v in videos])
        ignored = np.concatenate([v.ignored[0, t] for v in videos])
        hits = misses = 0
        curve = []
        for _, k in sorted(rows):
            hits, misses = hits + right[k], misses + (not right[k] and not ignored[k])
            curve.append((hits / 18, hits / max(hits + misses, 1)))
        expected = [max((p for r, p in curve if r >= wanted), default=0) for wanted in np.linspace(0, 1, 101)]
        assert precision[0, t] == pytest.approx(expected)
        assert recall[0, t] == pytest.approx(hits / 18)
    assert reached_recall(videos, (1, 3), 1)[0, 0] <= 6 / 18


def rle(mask: np.ndarray) -> dict[str, Any]:
    found = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(SIZE), "counts": found["counts"].decode()}


def runs(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed: lengths of runs, column by column, the first of zeros."""
    flat = mask.T.reshape(-1).astype(int)
    places = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": list(SIZE), "counts": np.diff(np.concatenate([[0], places])).tolist()}


def write_set(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Two videos of three frames; the results are the ground truth."""
    rng = np.random.default_rng(seed)
    videos, annotations, results = [], [], []
    for video in (1, 2):
        videos.append({"id": video, "height": 12, "width": 16, "length": 3, "file_names": ["a", "b", "c"]})
        for category in (1, 2):
            masks = [rng.random(SIZE) < 0.4 for _ in range(3)]
            own = {"video_id": video, "category_id": category}
            annotations.append(
                {
                    **own,
                    "id": len(annotations) + 1,
                    "iscrowd": 0,
                    "areas": [int(m.sum()) for m in masks],
                    "segmentations": [runs(m) for m in masks],
                }
            )
            results.append({**own, "score": 0.5, "segmentations": [rle(m) for m in masks]})
    categories = [{"id": number, "name": f"class{number}"} for number in (1, 2, 3)]
    truth = {"videos": videos, "categories": categories, "annotations": annotations}
    (folder / "gt.json.gz").write_bytes(gzip.compress(json.dumps(truth).encode()))
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "gt.json", folder / "results.json"


def test_the_ground_truth_itself_scores_1(tmp_path: Path) -> None:
    scores = score(*write_set(tmp_path))
    assert scores.figures["stats"]["AP"] == scores.figures["stats"]["AR1"] == 1
    assert scores.figures["stats"]["AP_large"] == -1 == scores.figures["per_category"][3]["AP"]
    assert scores.rows["class1"]["AP75"] == 1
    assert list(scores.rows) == ["class1", "class2"]


def test_several_processes_say_the_same(tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    results = json.loads(pred.read_text())
    results[0]["segmentations"][1] = None
    pred.write_text(json.dumps(results))
    assert score(gt, pred, workers=2).figures["stats"] == score(gt, pred).figures["stats"]


def test_wrong_results_are_named(tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    good = json.loads(pred.read_text())

    def scored_with(message: str, **changes: Any) -> None:
        pred.write_text(json.dumps([good[0], {**good[1], **changes}]))
        with pytest.raises(UserError, match=message):
            score(gt, pred)

    scored_with("results.json, result 1 is of video 9", video_id=9)
    scored_with("result 1 has the category 8", category_id=8)
    scored_with("result 1 has 2 segmentations; video 1 has 3 frames", segmentations=[None, None])
    scored_with("results.json, result 1, frame 0: a mask has the size 9 x 9; expected 12 x 16", segmentations=[
        {"size": [9, 9], "counts": "11"}, None, None])  # fmt: skip
    scored_with(
        "add up to 5 pixels; expected run lengths that add up to the 12 x 16",
        segmentations=[{"size": [12, 16], "counts": [5]}, None, None],
    )
    scored_with("a mask is no RLE", segmentations=[{"size": [12, 16]}, None, None])
    pred.write_text(json.dumps({"annotations": []}))
    with pytest.raises(UserError, match="holds no list"):
        score(gt, pred)
    pred.write_text(json.dumps([{"video_id": 1}]))
    with pytest.raises(UserError, match="result 0 has no category_id"):
        score(gt, pred)
    with pytest.raises(UserError, match="is not what was expected: videos, categories and annotations"):
        score(pred, pred)


def test_annotations_may_come_before_the_videos(tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    packed = tmp_path / "gt.json.gz"
    truth = json.loads(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    stats = {}
    for order in (("videos", "categories", "annotations"), ("annotations", "categories", "videos")):
        gt.write_text(json.dumps({"info": {}, **{key: truth[key] for key in order}, "licenses": []}))
        stats[order[0]] = score(gt, pred).figures["stats"]
    assert stats["annotations"] == stats["videos"] and stats["videos"]["AP"] == 1
    rows = truth["annotations"]

    def scored_with(message: str, place: int, **changes: Any) -> None:
        changed = [{**row, **changes} if k == place else row for k, row in enumerate(rows)]
        gt.write_text(
            json.dumps({"annotations": changed, "videos": truth["videos"], "categories": truth["categories"]})
        )
        with pytest.raises(UserError, match=message):
            score(gt, pred)

    scored_with("gt.json, annotation 3 is of video 7, which the ground truth does not have", 3, video_id=7)
    scored_with("gt.json, annotation 2 has the category 4, which", 2, category_id=4)
    scored_with("annotation 1 has 4 segmentations; video 1 has 3 frames", 1, segmentations=[None] * 4)
    scored_with("annotation 0: expected whole numbers as ids and a list of segmentations", 0, video_id="first")
    scored_with("annotation 0: expected whole numbers as ids and a list of segmentations", 0, segmentations=None)
    scored_with("gt.json, annotation 2: expected finite numbers as score and areas", 2, areas=["x", 1, 1])
    scored_with("gt.json, annotation 2: .*0 or 1 as iscrowd \\('0' is neither 0 nor 1", 2, iscrowd="0")
    for key, change in (("videos", {"height": 99}), ("categories", {"name": "another"})):
        gt.write_text(json.dumps({**truth, key: [*truth[key], {**truth[key][0], **change}]}))
        with pytest.raises(UserError, match=rf"gt.json is not what was expected \({key}: the id 1 is given twice\)"):
            score(gt, pred)
    gt.write_text(json.dumps({"annotations": rows, "videos": truth["videos"]}))
    with pytest.raises(UserError, match="gt.json is not what was expected"):
        score(gt, pred)


def test_finding_nothing_scores_0(tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    results = json.loads(pred.read_text())
    unseen = [{**row, "segmentations": [None] * 3} for row in results]
    one_video = [row for row in results if row["video_id"] == 2]
    for answers in ([], unseen):
        pred.write_text(json.dumps(answers))
        scores = score(gt, pred)
        assert {scores.summary[key] for key in ("AP", "AP50", "AP75", "AR1", "AR10", "AP_small")} == {0}
        assert list(scores.rows) == ["class1", "class2"]
    pred.write_text(json.dumps(one_video))
    assert 0 < score(gt, pred).summary["AP"] < 1


def test_without_ground_truth_every_figure_is_unknown(tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    truth = json.loads(gzip.decompress((tmp_path / "gt.json.gz").read_bytes()))
    (tmp_path / "gt.json.gz").unlink()
    for answers in (pred.read_text(), "[]"):
        pred.write_text(answers)
        gt.write_text(json.dumps({**truth, "annotations": []}))
        assert set(score(gt, pred).figures["stats"].values()) == {-1}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"score": float("nan")}, "expected finite numbers as score"),
        ({"score": "0.5"}, "expected finite numbers as score"),
        ({"category_id": 1.5}, "expected whole numbers as ids"),
        ({"category_id": "1"}, "expected whole numbers as ids"),
        ({"video_id": True}, "expected whole numbers as ids"),
        ({"segmentations": "abc"}, "a list of segmentations"),
        ({"segmentations": {"0": None, "1": None, "2": None}}, "a list of segmentations"),
        ({"segmentations": [None, {"size": [12, 16], "counts": "b'11'"}, None]}, "frame 1: the compressed counts"),
        ({"segmentations": [None, {"size": [12, 16], "counts": ""}, None]}, "frame 1: the compressed counts are empty"),
        ({"segmentations": [None, [[1, 2, float("nan"), 5, 6, 7]], None]}, "frame 1: a polygon holds"),
        ({"segmentations": [None, [[1, 2, 1e9, 5, 6, 7]], None]}, "frame 1: a polygon reaches"),
    ],
)
def test_answers_that_are_none_are_named(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    results = json.loads(pred.read_text())
    results[2].update(changes)
    pred.write_text(json.dumps(results))
    with pytest.raises(UserError, match=f"results.json, result 2.*{why}"):
        score(gt, pred)


def test_counts_of_another_frame_size_are_refused_at_once(tmp_path: Path) -> None:
    """pycocotools compares them without end."""
    gt, pred = write_set(tmp_path)
    results = json.loads(pred.read_text())
    smaller = rle_tools.encode(np.asfortranarray(np.eye(10, 16, dtype=np.uint8)))["counts"].decode()
    results[1]["segmentations"][2]["counts"] = smaller
    pred.write_text(json.dumps(results))
    with pytest.raises(UserError, match="result 1, frame 2: run lengths add up to 160 pixels; .* 12 x 16 pixels"):
        score(gt, pred)


def test_no_more_than_a_hundred_detections_of_a_video_and_class_count(tmp_path: Path) -> None:
    """Behind a hundred empty ones of higher score the right one of video 1 is not looked at; that of video 2 is."""
    gt, pred = write_set(tmp_path)
    empty = {"video_id": 1, "category_id": 1, "score": 0.9, "segmentations": [None] * 3}
    pred.write_text(json.dumps([*([empty] * 100), *json.loads(pred.read_text())]))
    row = score(gt, pred).rows["class1"]
    assert row["AP"] == pytest.approx(51 / 101 * 1 / 101), "precision 1/101 up to a recall of 1/2"


def test_a_tube_that_fits_by_less_than_three_quarters_is_none_to_ap75(tmp_path: Path) -> None:
    gt, pred = write_set(tmp_path)
    results = json.loads(pred.read_text())
    for row in results:
        if row["category_id"] == 1:
            tube = [rle_tools.decode(mask).reshape(-1) for mask in row["segmentations"]]
            for mask in tube:
                inside = np.flatnonzero(mask)
                mask[inside[round(0.73 * len(inside)) :]] = 0
            row["segmentations"] = [rle(mask.reshape(SIZE)) for mask in tube]
    pred.write_text(json.dumps(results))
    rows = score(gt, pred).rows
    assert (rows["class1"]["AP50"], rows["class1"]["AP75"], rows["class2"]["AP75"]) == (1, 0, 1)
