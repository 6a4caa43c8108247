"""VSPW, VIPOSeg and KITTI-STEP: measures against loops, edges of the rules, files that are wrong."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from univs.errors import UserError
from univs.evaluation.metrics import camvid, kitti_step_stq, viposeg_pvos, vspw
from univs.vocabularies import vocabulary


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.mark.parametrize("seed", range(5))
def test_consistency_looks_at_every_window_but_the_last(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random((12, 4, 5)) < 0.9, 3, rng.integers(0, 3, (12, 4, 5)))
    prediction = np.where(rng.random((12, 4, 5)) < 0.8, 1, 2)
    measured = vspw.Consistency((3, 5, 12))
    for one, other in zip(truth, prediction, strict=True):
        measured.update(one, other)
    found = measured.compute()
    assert found[12] == [], "a video of 12 frames has no window of 12"
    for span in (3, 5):
        expected = []
        for start in range(12 - span):
            constant = (truth[start : start + span] == truth[start]).all(0)
            kept = (prediction[start : start + span] == prediction[start]).all(0) & constant
            expected.append(kept.sum() / constant.sum() if constant.any() else math.nan)
        assert found[span] == pytest.approx(expected, nan_ok=True)


def test_classes_that_are_only_predicted_cost_the_true_one() -> None:
    confusion = np.zeros((124, 124), np.int64)
    confusion[3, 3], confusion[3, 5], confusion[7, 7] = 6, 2, 8
    figures = vspw.class_figures(confusion)
    assert figures["mIoU"] == pytest.approx((6 / 8 + 1) / 2)
    assert figures["fwIoU"] == pytest.approx(0.5 * 6 / 8 + 0.5)
    assert figures["pixel_accuracy"] == 14 / 16
    assert math.isnan(vspw.class_figures(np.zeros((124, 124), np.int64))["mIoU"])


def write_vspw(root: Path) -> tuple[Path, Path]:
    for t in range(10):
        labels = np.full((4, 6), 7)
        labels[0], labels[1, t % 6] = 255, 9
        save(root / "VSPW" / "data" / "v" / "mask" / f"{t:03}.png", labels)
        save(root / "pred" / "v" / f"{t:03}.png", labels)
    (root / "VSPW" / "val.txt").write_text("v")
    return root / "VSPW", root / "pred"


def test_vspw_round_trip_and_wrong_files(tmp_path: Path) -> None:
    gt, pred = write_vspw(tmp_path)
    scores = vspw.score(gt, pred)
    assert scores.summary["mIoU"] == scores.summary["mVC8"] == 1, "void may be predicted where nothing is labelled"
    assert math.isnan(scores.summary["mVC16"]) and scores.figures["VC16_printed_per_video"] == []
    save(pred / "v" / "004.png", np.full((4, 6), 124))
    with pytest.raises(UserError, match="004.png holds class 124 .* expected 0 to 123"):
        vspw.score(gt, pred)
    save(pred / "v" / "004.png", np.zeros((4, 5)))
    with pytest.raises(UserError, match="004.png is 4x5 .* expected 4x6"):
        vspw.score(gt, pred)
    (pred / "v" / "004.png").unlink()
    with pytest.raises(UserError, match="004.png missing"):
        vspw.score(gt, pred)
    with pytest.raises(UserError, match=r"val.txt does not exist"):
        vspw.score(pred, pred)


def test_vspw_takes_void_for_nothing_found(tmp_path: Path) -> None:
    gt, pred = write_vspw(tmp_path)
    save(pred / "v" / "004.png", np.full((4, 6), 255))
    # Of 10 frames with 17 pixels of class 7 and 1 of class 9 one is lost.
    assert vspw.score(gt, pred).summary["mIoU"] == pytest.approx(0.9)
    for file in (pred / "v").iterdir():
        save(file, np.full((4, 6), 255))
    assert vspw.score(gt, pred).summary["mIoU"] == vspw.score(gt, pred).summary["fwIoU"] == 0


def test_vspw_maps_of_other_labels_than_said_are_refused(tmp_path: Path) -> None:
    """Raw maps have classes 1 to 124, others 0 to 123; where 124 is not seen, all classes are one off."""
    true, found = tmp_path / "V" / "data" / "v" / "mask", tmp_path / "p" / "v"

    def write(folder: Path, added: int, highest: int = 20) -> None:
        for t in range(3):
            labels = np.repeat([[3, 4, 9, 255], [highest, 7, 7, 3]], 4, 0)
            save(folder / f"{t}.png", np.where(labels == 255, 255, labels + added))

    def scored(**options: str) -> float:
        return vspw.score(tmp_path / "V", tmp_path / "p", **options).summary["mIoU"]

    write(true, 1)
    write(found, 0)
    (tmp_path / "V" / "val.txt").write_bytes(b"\xef\xbb\xbfv\r\n")
    assert scored(labels="raw") == 1
    with pytest.raises(UserError, match="true maps look raw, .*; expected --labels raw"):
        scored()
    write(found, 1)
    with pytest.raises(UserError, match="plus one: leave out --labels raw, or write predictions as classes 0 to 123"):
        scored(labels="raw")
    write(true, 0)
    with pytest.raises(UserError, match="plus one: write predictions as classes 0 to 123"):
        scored()
    write(true, 1, highest=123)
    with pytest.raises(UserError, match=r"0.png holds 124, which maps .* look raw, .*; expected --labels raw"):
        scored()
    write(true, 30, highest=123)
    with pytest.raises(UserError, match=r"0.png holds 153; expected 1 to 124, or 255"):
        scored(labels="raw")


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_band_is_what_erosions_take_off(steps: int) -> None:
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=(30, 41))
        mask = ndimage.gaussian_filter(noise, 3) > -0.05
        core = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=steps, border_value=0)
        assert np.array_equal(viposeg_pvos.boundary_band(mask, steps), mask & ~core)
    assert viposeg_pvos.boundary_band(np.ones((9, 9), bool), 1).sum() == 32, "edges of the image are boundary"


def test_empty_masks_and_groups() -> None:
    none, some = np.zeros((6, 6), bool), np.eye(6, dtype=bool)
    assert viposeg_pvos.mask_and_boundary_iou(none, none) == (1, 1)
    assert viposeg_pvos.mask_and_boundary_iou(none, some) == viposeg_pvos.mask_and_boundary_iou(some, none) == (0, 0)
    groups = Counter(viposeg_pvos.group_of(number, "1_a") for number in range(124))
    assert groups == {"thing_seen": 41, "thing_unseen": 17, "stuff_seen": 49, "stuff_unseen": 17}
    assert viposeg_pvos.group_of(98, "1_a") == "stuff_seen"
    assert viposeg_pvos.group_of(98, "187_WUZUSD4477I") == "stuff_unseen"
    assert viposeg_pvos.group_of(200, "1_a") is None


def test_decay_is_the_slope_of_the_logarithm() -> None:
    tallies = {n: viposeg_pvos.Tally().plus(math.exp(-3 * n / 100), math.exp(-3 * n / 100)) for n in (2, 7, 30)}
    assert viposeg_pvos.decay(tallies) == pytest.approx(3)
    assert viposeg_pvos.decay({**tallies, 60: viposeg_pvos.Tally(0.1, 0.1, 1)}) == pytest.approx(3), "60 is too many"
    assert math.isnan(viposeg_pvos.decay({}))


def test_viposeg_scores_objects_from_the_frame_after_they_are_shown(tmp_path: Path) -> None:
    first, second = np.zeros((20, 30)), np.zeros((20, 30))
    first[:5], second[:5], second[10:] = 1, 1, 2
    for t, truth in enumerate((first, second, second)):
        save(tmp_path / "valid" / "Annotations_gt" / "v" / f"{t}.png", truth)
        save(tmp_path / "results" / "v" / f"{t}.png", np.where(truth == 2, 0, truth) if t < 2 else truth)
    save(tmp_path / "valid" / "Annotations" / "v" / "0.png", first)
    save(tmp_path / "valid" / "Annotations" / "v" / "1.png", np.where(second == 2, 2, 0))
    classes = tmp_path / "valid" / "obj_class.json"
    classes.write_text(json.dumps({"v": {"1": 60, "2": 0}}))
    scores = viposeg_pvos.score(tmp_path / "valid", tmp_path / "results")
    assert scores.figures["thing_seen_iou"] == scores.figures["stuff_seen_miou"] == 1
    assert math.isnan(scores.figures["overall_iou"]), "two groups are empty"
    classes.write_text(json.dumps({"v": {"1": 60}}))
    with pytest.raises(UserError, match="1.png shows object 2, which obj_class.json gives no class"):
        viposeg_pvos.score(tmp_path / "valid", tmp_path / "results")
    classes.write_text("{}")
    with pytest.raises(UserError, match="gives no classes for v"):
        viposeg_pvos.score(tmp_path / "valid", tmp_path / "results")


def test_kitti_step_reads_class_and_instance(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3))
    pixels[1:3] = (13, 1, 44)
    pixels[3] = (255, 0, 0)
    for part in ("gt", "pred"):
        save(tmp_path / part / "0000" / "000000.png", pixels)
    scores = kitti_step_stq.score(tmp_path / "gt", tmp_path / "pred")
    assert scores.summary == {"STQ": 1, "AQ": 1, "SQ": 1}
    assert scores.figures["ID_per_seq"] == ["0000"] and scores.figures["Length_per_seq"] == [1]
    pixels[0] = (255, 0, 0)
    save(tmp_path / "pred" / "0000" / "000000.png", pixels)
    scores = kitti_step_stq.score(tmp_path / "gt", tmp_path / "pred")
    for void in (scores.summary, scores.rows["0000"]):
        assert (void["AQ"], void["SQ"]) == (1, pytest.approx(1 / 3)), "predicted void counts as a class with IoU 0"
    pixels[0] = (40, 0, 0)
    save(tmp_path / "pred" / "0000" / "000000.png", pixels)
    with pytest.raises(UserError, match="000000.png holds class 40"):
        kitti_step_stq.score(tmp_path / "gt", tmp_path / "pred")


def test_the_row_of_a_video_is_what_it_would_score_alone(tmp_path: Path) -> None:
    gt, pred = write_vspw(tmp_path)
    save(pred / "v" / "004.png", np.full((4, 6), 9))
    scores = vspw.score(gt, pred)
    # Of 170 pixels of class 7 a tenth is taken for class 9, which has 10.
    seven, nine = 153 / 170, 10 / 27
    for found in (scores.summary, scores.rows["v"]):
        assert found["mIoU"] == pytest.approx((seven + nine) / 2)
        assert found["fwIoU"] == pytest.approx(170 / 180 * seven + 10 / 180 * nine)


def test_the_table_of_viposeg_has_the_means_of_masks_and_boundaries(tmp_path: Path) -> None:
    truth, found = np.zeros((20, 30)), np.zeros((20, 30))
    truth[4:14, 4:14], found[4:14, 4:12] = 1, 1
    for t in range(2):
        save(tmp_path / "valid" / "Annotations_gt" / "v" / f"{t}.png", truth)
        save(tmp_path / "results" / "v" / f"{t}.png", found)
    save(tmp_path / "valid" / "Annotations" / "v" / "0.png", truth)
    (tmp_path / "valid" / "obj_class.json").write_text(json.dumps({"v": {"1": 60}}))
    scores = viposeg_pvos.score(tmp_path / "valid", tmp_path / "results")
    # Bands of one pixel: 36 in truth, 32 in the answer; 8 + 8 + 8 are shared.
    mask, boundary = 80 / 100, 24 / (36 + 32 - 24)
    assert scores.rows["v"]["thing_seen_iou"] == pytest.approx((mask + boundary) / 2)


def test_camvid_has_the_iou_of_each_class(tmp_path: Path) -> None:
    truth, found = np.full((4, 6), 1), np.full((4, 6), 1)
    truth[2:], found[1:] = 2, 2
    save(tmp_path / "gt" / "0.png", truth)
    save(tmp_path / "pred" / "0.png", found)
    scores = camvid.score(tmp_path / "gt", tmp_path / "pred")
    first, second = vocabulary("camvid").names[1:3]
    assert scores.rows == {first: {"IoU": 6 / 12}, second: {"IoU": pytest.approx(12 / 18)}}
    assert scores.summary == {"mIoU": pytest.approx((6 / 12 + 12 / 18) / 2), "pixel_accuracy": 18 / 24}
