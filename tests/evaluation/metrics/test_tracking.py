"""HOTA, CLEAR and identity measures against their definitions; KITTI-MOTS and BURST files."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from univs.errors import UserError
from univs.evaluation.metrics import burst_files
from univs.evaluation.metrics.burst import score as score_burst
from univs.evaluation.metrics.burst import scored
from univs.evaluation.metrics.clear_mot import ClearTally, measure_clear, measure_identity
from univs.evaluation.metrics.hota import ALPHAS, HotaTally, TrackedFrame, Tracking, measure_hota, renumber
from univs.evaluation.metrics.kitti_mots import score as score_kitti

SIZE = (10, 20)


def tracking(*frames: tuple[list[int], list[int], Any]) -> Tracking:
    return renumber(
        [TrackedFrame(np.array(t, int), np.array(p, int), np.reshape(iou, (len(t), len(p))).astype(float))
         for t, p, iou in frames]
    )  # fmt: skip


def random_tracking(seed: int) -> Tracking:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(7):
        t, p = (np.flatnonzero(rng.random(3) < 0.7).tolist() for _ in range(2))
        frames.append((t, p, rng.random((len(t), len(p)))))
    return tracking(*frames)


def best_pairs(worth: np.ndarray) -> list[tuple[int, int]]:
    """The assignment of the largest sum, by trying all."""
    rows, columns = worth.shape
    if rows > columns:
        return [(r, c) for c, r in best_pairs(worth.T)]
    options = [list(enumerate(chosen)) for chosen in itertools.permutations(range(columns), rows)]
    return max(options, key=lambda pairs: sum(worth[pair] for pair in pairs))


def slow_hota(tracking: Tracking, alpha: float) -> dict[str, float]:
    """Equations of the paper, true positive by true positive."""
    together: dict[tuple[int, int], float] = {}
    for truth, prediction, iou in tracking.frames:
        for (i, t), (j, p) in itertools.product(enumerate(truth.tolist()), enumerate(prediction.tolist())):
            union = iou[i].sum() + iou[:, j].sum() - iou[i, j]
            together[t, p] = together.get((t, p), 0) + (iou[i, j] / union if union else 0)
    true = [t for frame in tracking.frames for t in frame.truth.tolist()]
    found = [p for frame in tracking.frames for p in frame.prediction.tolist()]
    matches = []
    for truth, prediction, iou in tracking.frames:
        worth = np.zeros(iou.shape)
        for (i, t), (j, p) in itertools.product(enumerate(truth.tolist()), enumerate(prediction.tolist())):
            worth[i, j] = iou[i, j] * together[t, p] / (true.count(t) + found.count(p) - together[t, p])
        matches += [(int(truth[i]), int(prediction[j]), iou[i, j]) for i, j in best_pairs(worth) if iou[i, j] >= alpha]
    tp = len(matches)
    pairs = [(t, p) for t, p, _ in matches]
    association = [pairs.count(x) / (true.count(x[0]) + found.count(x[1]) - pairs.count(x)) for x in pairs]
    detection = tp / (len(true) + len(found) - tp)
    a = sum(association) / max(tp, 1)
    located = sum(iou for *_, iou in matches) / tp if tp else 1.0
    return {"HOTA": math.sqrt(detection * a), "DetA": detection, "AssA": a, "LocA": located}


@pytest.mark.parametrize("seed", range(6))
def test_hota_is_what_its_definition_says(seed: int) -> None:
    case = random_tracking(seed)
    figures = measure_hota(case).figures()
    for k, alpha in list(enumerate(ALPHAS))[::5]:
        for name, value in slow_hota(case, float(alpha)).items():
            assert figures[name][k] == pytest.approx(value, abs=1e-12), (name, alpha)


def test_hota_of_a_track_that_is_cut_in_two() -> None:
    """All found, but each half knows half of the track: AssA is 1/2."""
    case = tracking(*[([0], [k // 5], [0.8]) for k in range(10)])
    figures = measure_hota(case).figures()
    assert figures["HOTA"][0] == pytest.approx(math.sqrt(0.5))
    assert figures["HOTA"][-1] == 0 and figures["LocA"][-1] == 1
    twice = measure_hota(case) + measure_hota(case)
    assert twice.tp[0] == 20 and twice.figures()["HOTA"] == pytest.approx(figures["HOTA"])
    assert HotaTally.nothing().figures()["LocA"].tolist() == [1] * 19


@pytest.mark.parametrize("seed", range(10))
def test_identities_are_assigned_for_the_most_frames(seed: int) -> None:
    case = random_tracking(seed)
    frames = np.zeros((case.true_count, case.predicted_count))
    for truth, prediction, iou in case.frames:
        for (i, t), (j, p) in itertools.product(enumerate(truth), enumerate(prediction)):
            frames[t, p] += iou[i, j] >= 0.5
    right = sum(frames[pair] for pair in best_pairs(frames))
    found = measure_identity(case)
    assert (found.tp, found.tp + found.fn, found.tp + found.fp) == (
        right, case.true_detections, case.predicted_detections)  # fmt: skip


def test_matches_stay_while_they_fit() -> None:
    """The identity of the frame before is kept at IoU 0.5 although another fits better; below it is a switch."""
    frames = [([1], [7], [0.9]), ([1], [7, 8], [0.5, 0.9]), ([1], [7, 8], [0.4, 0.9])]
    found = measure_clear(tracking(*frames))
    assert (found.tp, found.fp, found.fn, found.switches) == (3, 2, 0, 1)
    figures = found.figures(True)
    assert figures["MOTA"] == pytest.approx(0) and figures["sMOTA"] == pytest.approx((2.3 - 2 - 1) / 3)


def test_switches_breaks_and_shares_of_tracks() -> None:
    """A gap is a break; another identity after it is a switch; a frame without predictions ends no match."""
    frames = [([1, 2], [7], [0.9, 0]), ([1, 2], [9], [0, 0]), ([1, 2], [7], [0.9, 0]), ([1, 2], [8], [0.9, 0])]
    found = measure_clear(tracking(*frames))
    assert (found.switches, found.breaks, found.most, found.part, found.least) == (1, 1, 0, 1, 1)
    through = measure_clear(tracking(([1], [7], [0.9]), ([1], [], []), ([1], [7, 8], [0.5, 0.9])))
    assert (through.switches, through.breaks, through.tp) == (0, 0, 2)


def test_sequences_without_one_side() -> None:
    only_true, only_found = tracking(([1], [], [])), tracking(([], [4], []))
    assert measure_clear(only_true).figures(True)["MLR"] == 1 == measure_clear(only_found).figures(True)["MLR"]
    assert measure_clear(only_found).figures(True)["MOTA"] == 0
    both = measure_clear(only_true) + measure_clear(only_found)
    assert both == ClearTally(fn=1, fp=1, least=1)
    assert both.figures(False)["MOTA"] == -1


def box(x: int, width: int = 4) -> str:
    mask = np.zeros(SIZE, np.uint8)
    mask[2:7, x : x + width] = 1
    return rle_tools.encode(np.asfortranarray(mask))["counts"].decode()


def write_kitti(root: Path, lines: list[str]) -> tuple[Path, Path]:
    (root / "gt" / "label_02").mkdir(parents=True, exist_ok=True)
    (root / "mine" / "data").mkdir(parents=True, exist_ok=True)
    (root / "gt" / "evaluate_mots.seqmap.val").write_text("0003 empty 000000 000001\n")
    truth = [f"{t} 1001 1 10 20 {box(2 + t)}" for t in (0, 1)] + [f"1 10000 10 10 20 {box(12)}"]
    (root / "gt" / "label_02" / "0003.txt").write_text("\n".join(truth))
    (root / "mine" / "data" / "0003.txt").write_text("\n".join(lines))
    return root / "gt", root / "mine"


def test_kitti_mots_excuses_what_lies_in_the_ignored_region(tmp_path: Path) -> None:
    right = [f"{t} 4 1 10 20 {box(2 + t)}" for t in (0, 1)]
    scores = score_kitti(*write_kitti(tmp_path, [*right, f"1 5 1 10 20 {box(13)}"]))
    assert scores.summary["HOTA car"] == scores.summary["sMOTSA car"] == 1
    assert scores.figures["0003"]["car"]["Count"]["Dets"] == 2
    half = score_kitti(*write_kitti(tmp_path, [*right, f"1 5 1 10 20 {box(14)}"]))
    assert half.figures["0003"]["car"]["Count"]["Dets"] == 3, "exactly one half is not more than a half"
    assert half.figures["0003"]["car"]["CLEAR"]["CLR_FP"] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 4 1 10 20", "line 2: expected frame id class height width rle"),
        (f"7 4 1 10 20 {box(3)}", "line 2: frame 7; .* says 0 to 1"),
        (f"0 3 1 10 20 {box(12)}", "frame 0: the id 3 comes more than once"),
        (f"0 4 1 10 20 {box(3)}", "frame 0: masks overlap"),
        ("0 4 1 10 20 b'11'", "0003.txt, line 2: the compressed counts"),
        (f"0 4 1 20 20 {box(12)}", "0003.txt, line 2: run lengths add up to 200 pixels"),
        (f"1 4 1 20 10 {box(12)}", r"mine/data/0003.txt, frame 1: masks of \[20, 10\] .*; expected \[10, 20\]"),
        ("0 4 1 -10 -20 1", "0003.txt, line 2: no mask can have -10 x -20 pixels"),
    ],
)
def test_wrong_kitti_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        score_kitti(*write_kitti(tmp_path, [f"0 3 1 10 20 {box(2)}", line]))


def test_no_tracks_at_all_score_0(tmp_path: Path) -> None:
    gt, pred = write_kitti(tmp_path, [])
    found = score_kitti(gt, pred)
    assert set(found.summary.values()) == {0}
    (gt / "label_02" / "0003.txt").write_text("")
    assert set(score_kitti(gt, pred).summary.values()) == {0}


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path: Path) -> None:
    gt, pred = write_kitti(tmp_path, [f"{t} 4 1 10 20 {box(2 + t)}" for t in (0, 1)])
    for path in (gt / "label_02" / "0003.txt", pred / "data" / "0003.txt", gt / "evaluate_mots.seqmap.val"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert score_kitti(gt, pred).summary["HOTA car"] == 1
    (pred / "data" / "0003.txt").write_bytes("0 é".encode("latin-1"))
    with pytest.raises(UserError, match="0003.txt is no UTF-8 text"):
        score_kitti(gt, pred)


def test_ignored_regions_may_overlap_each_other(tmp_path: Path) -> None:
    gt, pred = write_kitti(tmp_path, [f"0 3 1 10 20 {box(2)}"])
    with (gt / "label_02" / "0003.txt").open("a") as file:
        file.write(f"\n1 10000 10 10 20 {box(13)}")
    assert score_kitti(gt, pred).figures["0003"]["car"]["Count"]["GT_Dets"] == 2


def test_burst_scores_what_is_annotated() -> None:
    """Unmatched detections go where nobody said that the class is absent, or where it is annotated in part."""
    iou = np.array([[0.9, 0.1], [0.0, 0.2]])
    assert scored(iou, negative=False, incomplete=False) == [0, 1]
    assert scored(iou, negative=False, incomplete=True) == [0]
    assert scored(np.zeros((0, 2)), negative=False, incomplete=False) == []
    assert scored(np.zeros((0, 2)), negative=True, incomplete=False) == [0, 1]


def write_burst(root: Path, predicted: dict[str, int]) -> tuple[Path, Path]:
    frames = [{"1": {"rle": box(2 + t)}, "2": {"rle": box(12)}} for t in range(3)]
    sequence = {"dataset": "D", "seq_name": "s", "width": 20, "height": 10}
    sequence |= {"annotated_image_paths": ["0.jpg", "1.jpg", "2.jpg"], "neg_category_ids": []}
    truth = {**sequence, "track_category_ids": {"1": 4, "2": 1}, "segmentations": frames}
    found = {**sequence, "track_category_ids": predicted, "segmentations": [
        {track: frame.get(track, {"rle": box(8)}) for track in predicted} for frame in frames]}  # fmt: skip
    for name, part in (("gt.json", truth), ("pred.json", found)):
        (root / name).write_text(json.dumps({"split": "val", "sequences": [part]}))
    return root / "gt.json", root / "pred.json"


def test_burst_takes_the_class_from_the_prediction_or_the_truth(tmp_path: Path) -> None:
    files = write_burst(tmp_path, {"1": 4, "2": 1})
    for task in ("class_guided", "exemplar_guided"):
        assert set(score_burst(*files, task=task).summary.values()) == {100}
    swapped = score_burst(*write_burst(tmp_path, {"1": 4, "2": 4}), task="exemplar_guided").figures
    assert swapped["exemplar_guided/trackeval"]["HOTA"]["uncommon"] == pytest.approx(100)
    assert swapped["exemplar_guided/burstapi"]["HOTA"]["uncommon"] == 0
    assert list(swapped["exemplar_guided/burstapi"]["per_class"])[:2] == ["acorn", "airplane"]


def test_wrong_burst_files_are_named(tmp_path: Path) -> None:
    gt, pred = write_burst(tmp_path, {"1": 4, "9": 1})
    with pytest.raises(UserError, match="D/s: track 9 is none of the true ones"):
        score_burst(gt, pred, task="exemplar_guided")
    content = json.loads(pred.read_text())
    del content["sequences"][0]["segmentations"][0]
    pred.write_text(json.dumps(content))
    with pytest.raises(UserError, match="D/s: segmentations of 2 frames; expected 3"):
        score_burst(gt, pred)
    content["sequences"][0]["seq_name"] = "other"
    content["sequences"][0]["annotated_image_paths"] = ["0.jpg", "1.jpg"]
    pred.write_text(json.dumps(content))
    with pytest.raises(UserError, match="holds the sequence D/other, which .* does not have"):
        score_burst(gt, pred)
    pred.write_text("{}")
    with pytest.raises(UserError, match="pred.json holds no list of sequences"):
        score_burst(gt, pred)


def change(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text())
    content["sequences"][0].update(fields)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("task", ["class_guided", "exemplar_guided"])
def test_finding_nothing_scores_0(task: str, tmp_path: Path) -> None:
    gt, pred = write_burst(tmp_path, {"1": 4})
    change(pred, segmentations=[{}, {}, {}], track_category_ids={})
    nothing = score_burst(gt, pred, task=task).summary
    assert nothing["HOTA all"] == nothing["AP all"] == nothing["HOTA common"] == 0
    pred.write_text('{"sequences": []}')
    assert score_burst(gt, pred, task=task).summary["HOTA all"] == 0
    change(gt, segmentations=[{}, {}, {}], track_category_ids={})
    summary = score_burst(gt, pred, task=task).summary
    assert len(summary) == 12 and all(math.isnan(value) for value in summary.values())


def test_burst_answers_about_something_else_are_named(tmp_path: Path) -> None:
    gt, pred = write_burst(tmp_path, {"1": 4})
    good = pred.read_text()
    sequence = json.loads(good)["sequences"][0]
    size, masks = (sequence["height"], sequence["width"]), sequence["segmentations"]
    one = next(iter(masks[1]))
    for fields, why in (
        ({"height": size[1], "width": size[0]}, f"D/s is {size[1]} x {size[0]} .*; expected {size[0]} x {size[1]}"),
        ({"annotated_image_paths": ["x", "y", "z"]}, "D/s is of none of the annotated frames; expected"),
        ({"segmentations": [{}, {one: {"rle": "b'11'"}}, {}]}, "D/s, .*, track .*: the compressed counts"),
        ({"segmentations": [{}, {one: {"rle": None}}, {}]}, "D/s, .*, track .*: a mask is no RLE"),
        ({"segmentations": [{}, {one: {"rle": "11"}}, {}]}, "D/s, .*, track .*: run lengths add up to 2 pixels"),
        ({"segmentations": [{}, {one: {**masks[1][one], "score": math.nan}}, {}]}, "D/s, .*: expected .*finite score"),
        ({"segmentations": [{}, {one: {**masks[1][one], "category_id": 4.5}}, {}]}, "D/s, .*: expected track -> rle"),
    ):
        pred.write_text(good)
        change(pred, **fields)
        with pytest.raises(UserError, match=f"pred.json, {why}"):
            score_burst(gt, pred)


def test_motsa_counts_matches_and_smotsa_their_iou(tmp_path: Path) -> None:
    """All cars are found, each one pixel of four beside: 15 of 25 pixels are shared."""
    scores = score_kitti(*write_kitti(tmp_path, [f"{t} 4 1 10 20 {box(3 + t)}" for t in (0, 1)]))
    assert scores.summary["MOTSA car"] == scores.rows["0003 car"]["MOTSA"] == 1
    assert scores.summary["sMOTSA car"] == scores.rows["0003 car"]["sMOTSA"] == pytest.approx(0.6)


def test_of_too_many_detections_of_a_frame_the_most_certain_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gt, pred = write_burst(tmp_path, {"1": 4, "9": 4})
    frames = json.loads(pred.read_text())["sequences"][0]["segmentations"]
    for right, wrong in ((0.9, 0.1), (0.1, 0.9)):
        scored_frames = [{"1": {**f["1"], "score": right}, "9": {**f["9"], "score": wrong}} for f in frames]
        change(pred, segmentations=scored_frames)
        assert score_burst(gt, pred).rows["airplane"]["HOTA"] < 1, "there is room for both"
        with monkeypatch.context() as patch:
            patch.setattr(burst_files, "MOST", 1)
            row = score_burst(gt, pred).rows["airplane"]
        assert row["HOTA"] == row["AP"] == pytest.approx(1 if right > wrong else 0)
