"""PQ, VPQ and STQ against their definitions pixel by pixel; what files may be wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics import panoptic_quality
from univs.evaluation.metrics.label_pairs import shared_pixels
from univs.evaluation.metrics.panoptic import PanopticFrame, Segment, Tubes
from univs.evaluation.metrics.panoptic_quality import score as score_images
from univs.evaluation.metrics.score_files import read_ids
from univs.evaluation.metrics.stq import Meetings, measure_sequence, pooled
from univs.evaluation.metrics.vipseg_vpq_stq import score as score_vipseg

CATEGORIES = {3: 0, 5: 1, 9: 2}
Maps = np.ndarray  # T H W


def random_ids(rng: np.random.Generator, frames: int, highest: int) -> Maps:
    """Coarse blocks, so that ids cover much of each other."""
    blocks = rng.integers(0, highest + 1, (frames, 3, 4))
    blocks[1:] = np.where(rng.random(blocks[1:].shape) < 0.6, blocks[:1], blocks[1:])
    return blocks.repeat(4, 1).repeat(3, 2).astype(np.uint32)


def listed(maps: Maps, rng: np.random.Generator, crowds: tuple[int, ...] = ()) -> list[list[Segment]]:
    """The segments of each frame, in any order; an id mostly has one category."""
    usual = {number: int(rng.choice(list(CATEGORIES))) for number in range(1, 20)}
    rows = []
    for frame in maps:
        numbers = rng.permutation([n for n in np.unique(frame).tolist() if n])
        rows.append(
            [
                Segment(
                    int(n),
                    int(rng.choice(list(CATEGORIES))) if rng.random() < 0.15 else usual[n],
                    n in crowds,
                    int((frame == n).sum()),
                )
                for n in numbers.tolist()
            ]
        )
    return rows


def slow_tally(truth: Maps, prediction: Maps, true_rows: Any, predicted_rows: Any, window: int) -> np.ndarray:
    """iou, tp, fp, fn (4 C) from masks of tubes, as the protocol reads."""
    totals = np.zeros((4, len(CATEGORIES)))
    for start in range(len(truth) - window + 1):
        part = slice(start, start + window)
        t, p = truth[part], prediction[part]
        true: dict[int, Segment] = {}
        found: dict[int, Segment] = {}
        for rows, tubes in ((true_rows, true), (predicted_rows, found)):
            for row in rows[part]:
                for segment in row:
                    tubes.setdefault(segment.number, segment)
        matched: set[int] = set()
        right: set[int] = set()
        for n, a in true.items():
            for m, b in found.items():
                mask, other = t == n, p == m
                union = (mask | other).sum() - (other & (t == 0)).sum()
                share = (mask & other).sum() / union if union else 0
                if a.category == b.category and not a.crowd and share > 0.5:
                    totals[:2, CATEGORIES[a.category]] += [share, 1]
                    matched.add(n)
                    right.add(m)
        crowd = {}
        for n, a in true.items():
            if a.crowd:
                crowd[a.category] = n
            elif n not in matched:
                totals[3, CATEGORIES[a.category]] += 1
        for m, b in found.items():
            if m not in right:
                other = p == m
                excused = (other & (t == 0)).sum() + (other & (t == crowd.get(b.category, -1))).sum()
                if not excused / other.sum() > 0.5:
                    totals[2, CATEGORIES[b.category]] += 1
    return totals


@pytest.mark.parametrize("seed", range(8))
def test_vpq_is_what_its_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_ids(rng, 7, 5)
    prediction = np.where(rng.random((7, 1, 1)) < 0.7, truth, random_ids(rng, 7, 5)).astype(np.uint32)
    true_rows, predicted_rows = listed(truth, rng, (2, 4)), listed(prediction, np.random.default_rng(seed))
    frames = [
        PanopticFrame(a, b, shared_pixels(t, p))
        for a, b, t, p in zip(true_rows, predicted_rows, truth, prediction, strict=True)
    ]
    tubes = Tubes(frames, CATEGORIES)
    for window in (1, 2, 4, 7, 8):
        tally = tubes.tally(window)
        expected = slow_tally(truth, prediction, true_rows, predicted_rows, window)
        assert np.stack([tally.tp, tally.fp, tally.fn]).tolist() == expected[1:].tolist()
        assert tally.iou == pytest.approx(expected[0], abs=1e-12)


def test_half_is_neither_a_match_nor_an_excuse() -> None:
    """IoU 1/2 does not match; a false positive with exactly half on void stays one."""
    truth = np.array([[1, 1, 1, 1, 0, 0]], np.uint32)
    prediction = np.array([[7, 7, 0, 8, 8, 0]], np.uint32)
    segments = [Segment(1, 3, False, 4)], [Segment(7, 3), Segment(8, 5)]
    tally = Tubes([PanopticFrame(*segments, shared_pixels(truth, prediction))], CATEGORIES).tally(1)
    assert (tally.tp.tolist(), tally.fp.tolist(), tally.fn.tolist()) == ([0, 0, 0], [1, 1, 0], [1, 0, 0])
    assert tally.means(np.array([True, True, False]))["n"] == 2
    assert math.isnan(tally.means(np.array([False, False, True]))["pq"])


def slow_stq(tc: Maps, ti: Maps, pc: Maps, pi: Maps, things: tuple[int, ...], classes: int) -> tuple[float, float]:
    """AQ and SQ from masks."""
    crowd = np.isin(tc, things) & (ti == 0)
    known = tc < classes
    ious = []
    for c in range(classes + 1):
        a, b = (tc == c) & known, (pc == c) & known
        if (a | b).any():
            ious.append((a & b).sum() / (a | b).sum())
    tubes = {(c, i) for c, i in zip(tc[~crowd].tolist(), ti[~crowd].tolist(), strict=True) if c in things}
    found = {(c, i) for c, i in zip(pc.ravel().tolist(), pi.ravel().tolist(), strict=True) if c in things}
    total = 0.0
    for c, i in tubes:
        g = (tc == c) & (ti == i)
        for d, j in found:
            p = (pc == d) & (pi == j) & ~crowd
            both = (g & p).sum()
            total += both / g.sum() * both / (g | p).sum()
    return total / len(tubes), float(np.mean(ious))


@pytest.mark.parametrize("seed", range(6))
def test_stq_is_what_its_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, things, frames = 4, (1, 2), 5
    tc, pc = (random_ids(rng, frames, classes).astype(np.int64) for _ in range(2))
    ti, pi = (random_ids(rng, frames, 2).astype(np.int64) for _ in range(2))
    pc, pi = np.where(rng.random(pc.shape) < 0.5, tc, pc), np.where(rng.random(pc.shape) < 0.5, ti, pi)
    columns = [part.reshape(-1) for part in (tc, ti, pc, pi, np.ones_like(tc))]
    measured = measure_sequence(Meetings(*columns), things, classes, 0, frames)
    aq, sq = slow_stq(tc, ti, pc, pi, things, classes)
    assert (measured.aq, measured.sq) == pytest.approx((aq, sq), abs=1e-12)
    assert measured.stq == pytest.approx(math.sqrt(aq * sq))
    twice = pooled([measured, measured])
    assert (twice.aq, twice.sq, twice.length) == pytest.approx((aq, sq, 2 * frames))


def test_ids_are_read_from_colours_and_counted_in_runs(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 1 << 24, (5, 7)).astype(np.uint32)
    write_labels(tmp_path / "a.png", ids)
    assert np.array_equal(read_ids(tmp_path / "a.png"), ids)
    with pytest.raises(UserError, match="a.png is 5x7 .* expected 7x5"):
        read_ids(tmp_path / "a.png", (7, 5))
    Image.fromarray(ids.astype(np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(UserError, match="grey.png has no colours"):
        read_ids(tmp_path / "grey.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot read the mask .*broken.png"):
        read_ids(tmp_path / "broken.png")
    one, other = ids % 3, ids % 2
    shared = shared_pixels(one, other)
    for a, b, pixels in zip(*shared, strict=True):
        assert pixels == ((one == a) & (other == b)).sum() > 0
    assert shared.pixels.sum() == ids.size


def write_labels(path: Path, ids: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)).save(path)


def write_vipseg(root: Path) -> tuple[Path, Path]:
    """One video of two frames whose prediction is the ground truth under other ids."""
    ids = np.zeros((6, 8), np.uint32)
    ids[:3], ids[3:5] = 1, 300
    images, rows, predicted = [], [], []
    for name in ("0000", "0001"):
        images.append({"id": name, "height": 6, "width": 8})
        segments = [
            {"id": int(n), "category_id": c, "iscrowd": 0, "area": int((ids == n).sum())} for n, c in ((1, 0), (300, 2))
        ]
        rows.append({"image_id": name, "file_name": f"{name}.png", "segments_info": segments})
        renamed = [{"id": s["id"] + 70000, "category_id": s["category_id"]} for s in segments]
        predicted.append({"image_id": name, "file_name": f"{name}.png", "segments_info": renamed})
        write_labels(root / "panomasksRGB" / "v" / f"{name}.png", ids)
        write_labels(root / "submit" / "pan_pred" / "v" / f"{name}.png", np.where(ids > 0, ids + 70000, 0))
    truth = {
        "videos": [{"video_id": "v", "images": images}],
        "annotations": [{"video_id": "v", "annotations": rows}],
        "categories": [{"id": 0, "isthing": 0}, {"id": 2, "isthing": 1}],
    }
    (root / "panoptic_gt_VIPSeg_val.json").write_text(json.dumps(truth))
    (root / "submit" / "pred.json").write_text(
        json.dumps({"annotations": [{"video_id": "v", "annotations": predicted}]})
    )
    return root, root / "submit"


def test_the_ground_truth_itself_scores_100(tmp_path: Path) -> None:
    scores = score_vipseg(*write_vipseg(tmp_path))
    assert scores.summary["VPQ1"] == scores.figures["vpq_by_window"][2]["vpq_thing"] == 100
    assert scores.summary["STQ"] == scores.rows["v"]["AQ"] == 1
    assert math.isnan(scores.summary["VPQ4"]), "the video is shorter than the window"


def test_wrong_vipseg_files_are_named(tmp_path: Path) -> None:
    gt, pred = write_vipseg(tmp_path)
    content = json.loads((pred / "pred.json").read_text())
    frames = content["annotations"][0]["annotations"]

    def scored_with(message: str) -> None:
        (pred / "pred.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=message):
            score_vipseg(gt, pred)

    frames[1]["segments_info"][0]["id"] = 5
    scored_with("0001.png holds the id 70001, which the segments_info")
    frames[1]["segments_info"][0]["id"] = 70001
    frames[1]["segments_info"].append({"id": 9, "category_id": 2})
    scored_with("0001.png holds no pixel of the id 9")
    frames[1]["segments_info"][2]["category_id"] = 77
    scored_with("frame 0001: segment 9 has the category 77")
    del frames[1]
    scored_with("lacks the frame 0001 of video v")
    content["annotations"] = []
    scored_with("lacks the video v")
    with pytest.raises(UserError, match="panoptic_gt_VIPSeg_val.json does not exist"):
        score_vipseg(pred, pred)


def test_images_in_the_coco_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images: all is found on one, a thing is missed on the other."""
    ids = np.zeros((4, 6), np.uint32)
    ids[:2], ids[2:] = 7, 300
    segments = [{"id": 7, "category_id": 1, "area": 12}, {"id": 300, "category_id": 4, "area": 12}]
    truth = {"categories": [{"id": 1, "isthing": 1, "name": "cat"}, {"id": 4, "isthing": 0}], "annotations": []}
    found: dict[str, Any] = {"annotations": []}
    for image in (0, 1):
        row = {"image_id": image, "file_name": f"{image}.png"}
        truth["annotations"].append({**row, "segments_info": segments})
        found["annotations"].append({**row, "segments_info": segments[image:]})
        write_labels(tmp_path / "gt" / f"{image}.png", ids)
        write_labels(tmp_path / "pred" / f"{image}.png", ids if image == 0 else np.where(ids == 300, ids, 0))
    for name, content in (("gt.json", truth), ("pred.json", found)):
        (tmp_path / name).write_text(json.dumps(content))
    scores = score_images(tmp_path / "gt.json", tmp_path / "pred.json")
    assert scores.figures["Things"] == {"pq": pytest.approx(2 / 3), "sq": 1, "rq": pytest.approx(2 / 3), "n": 1}
    assert scores.summary["PQ stuff"] == 1 and scores.rows["cat"]["SQ"] == 1
    monkeypatch.setattr(panoptic_quality, "CHUNK", 1)
    in_parts = score_images(tmp_path / "gt.json", tmp_path / "pred.json")
    assert in_parts.figures == scores.figures and in_parts.rows == scores.rows
    (tmp_path / "pred" / "1.png").unlink()
    with pytest.raises(UserError, match="1.png does not exist"):
        score_images(tmp_path / "gt.json", tmp_path / "pred.json")
    del found["annotations"][1]
    (tmp_path / "pred.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match="pred.json lacks the image 1"):
        score_images(tmp_path / "gt.json", tmp_path / "pred.json")


def test_a_thing_that_changes_its_id_costs_association_alone(tmp_path: Path) -> None:
    """Each half of its track is followed by half: AQ is 1/2; the classes are right, and every frame by itself."""
    gt, pred = write_vipseg(tmp_path)
    content = json.loads((pred / "pred.json").read_text())
    content["annotations"][0]["annotations"][1]["segments_info"][1]["id"] = 70301
    (pred / "pred.json").write_text(json.dumps(content))
    ids = read_ids(pred / "pan_pred" / "v" / "0001.png")
    write_labels(pred / "pan_pred" / "v" / "0001.png", np.where(ids == 70300, 70301, ids))
    scores = score_vipseg(gt, pred)
    for found in (scores.summary, scores.rows["v"]):
        assert (found["AQ"], found["SQ"], found["STQ"]) == (0.5, 1, pytest.approx(math.sqrt(0.5)))
        assert found["VPQ1"] == 100, "per cent, in the table as in the summary"
