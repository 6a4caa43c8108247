"""`univs score kitti_mots`: HOTA, MOTSA, sMOTSA and IDF1 of cars and pedestrians on the KITTI-MOTS text format.

A line is `frame id class height width rle`; class 1 is a car, 2 a pedestrian, 10 (ground truth) a region to ignore.
Rules are those of TrackEval (`univs.evaluation.metrics.hota` and `clear_mot` have the measures); figures are fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.clear_mot import ClearTally, IdentityTally, measure_clear, measure_identity
from univs.evaluation.metrics.hota import EPSILON, HotaTally, TrackedFrame, measure_hota, renumber
from univs.evaluation.metrics.score_files import need_file, need_folder, read_lines
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.formats.kitti_mots import LINE, read_instance_lines
from univs.masks.overlaps import areas, mask_iou, merged, share_inside
from univs.masks.rle import Rle

CLASSES = {"car": 1, "pedestrian": 2}
IGNORE = 10
MAP = "evaluate_mots.seqmap.val"


class TrackingFiles(NamedTuple):
    """The files of a sequence to score, and how many frames it has."""

    name: str
    truth: Path
    prediction: Path
    length: int


class Detection(NamedTuple):
    """A line of a file."""

    number: int
    category: int
    mask: Rle


class ClassTally(NamedTuple):
    """What is kept of a class in a sequence."""

    hota: HotaTally
    clear: ClearTally
    identity: IdentityTally
    counts: dict[str, int]


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """All figures per sequence and class. Raises UserError for whatever is wrong with the files."""
    sequences = find_sequences(gt, pred)
    measured = score_videos(measure_sequence, sequences, workers, progress, [one.length for one in sequences])
    figures: dict[str, Any] = {}
    rows: dict[str, dict[str, float]] = {}
    for sequence, tallies in zip(sequences, measured, strict=True):
        figures[sequence.name] = {name: class_figures(tally, True) for name, tally in tallies.items()}
    figures["COMBINED_SEQ"] = {
        name: class_figures(combine([tallies[name] for tallies in measured]), False) for name in CLASSES
    }
    for sequence_name, classes in figures.items():
        for name, parts in classes.items():
            rows[f"{sequence_name} {name}"] = _row(parts)
    summary = {
        f"{key} {name}": value
        for name in CLASSES
        for key, value in rows.pop(f"COMBINED_SEQ {name}").items()
        if key in ("HOTA", "DetA", "AssA", "MOTSA", "sMOTSA", "IDF1")
    }
    return Scores(figures, summary, rows)


def measure_sequence(sequence: TrackingFiles) -> dict[str, ClassTally]:
    """The tallies of each class in one sequence. Raises UserError for lines that cannot be read or do not fit."""
    truth = read_detections(sequence.truth, sequence.length)
    prediction = read_detections(sequence.prediction, sequence.length)
    size = next((one.mask["size"] for found in truth for one in found), None)
    for frame, found in enumerate(prediction):
        own = [one.mask["size"] for one in found if size is not None and one.mask["size"] != size]
        if own:
            raise UserError(f"{sequence.prediction}, frame {frame}: masks of {own[0]} (height, width); expected {size}")
    tallies = {}
    for name, category in CLASSES.items():
        frames = [_frame(true, found, category) for true, found in zip(truth, prediction, strict=True)]
        tracking = renumber(frames)
        counts = {
            "Dets": tracking.predicted_detections,
            "GT_Dets": tracking.true_detections,
            "IDs": tracking.predicted_count,
            "GT_IDs": tracking.true_count,
            "Frames": sequence.length,
        }
        tallies[name] = ClassTally(measure_hota(tracking), measure_clear(tracking), measure_identity(tracking), counts)
    return tallies


def _frame(truth: Sequence[Detection], prediction: Sequence[Detection], category: int) -> TrackedFrame:
    """One class of one frame, without the detections that the ignored region excuses.

    These match nothing (IoU 0.5 or more) and lie by more than half of their own area in that region.
    """
    true = [one for one in truth if one.category == category]
    found = [one for one in prediction if one.category == category]
    iou = mask_iou([one.mask for one in true], [one.mask for one in found])
    region = [one.mask for one in truth if one.category == IGNORE]
    if region and found:
        fits = np.where(iou < 0.5 - EPSILON, -10000, iou)
        rows, columns = linear_sum_assignment(fits, maximize=True)
        matched = set(columns[fits[rows, columns] > EPSILON].tolist())
        inside = share_inside([one.mask for one in found], merged(region))
        kept = [k for k in range(len(found)) if k in matched or not inside[k] > 0.5 + EPSILON]
        found, iou = [found[k] for k in kept], iou[:, kept]
    numbers = [np.array([one.number for one in part], np.int64) for part in (true, found)]
    return TrackedFrame(numbers[0], numbers[1], iou)


def combine(tallies: Sequence[ClassTally]) -> ClassTally:
    """One class over all sequences: counts are added up, not scores averaged."""
    counts = {key: sum(one.counts[key] for one in tallies) for key in tallies[0].counts}
    return ClassTally(
        sum((one.hota for one in tallies), HotaTally.nothing()),
        sum((one.clear for one in tallies), ClearTally()),
        sum((one.identity for one in tallies), IdentityTally()),
        counts,
    )


def class_figures(tally: ClassTally, one_sequence: bool) -> dict[str, Any]:
    """All figures under the names of TrackEval."""
    hota = tally.hota.figures()
    first = {"HOTA(0)": hota["HOTA"][0], "LocA(0)": hota["LocA"][0], "HOTALocA(0)": hota["HOTA"][0] * hota["LocA"][0]}
    counts = {"HOTA_TP": tally.hota.tp, "HOTA_FN": tally.hota.fn, "HOTA_FP": tally.hota.fp}
    means = {f"{name}_mean_over_alpha": float(np.mean(values)) for name, values in hota.items()}
    return {
        "HOTA": {**hota, **counts, **first, **means},
        "CLEAR": tally.clear.figures(one_sequence),
        "Identity": tally.identity.figures(),
        "Count": tally.counts,
    }


def read_detections(path: Path, length: int) -> list[list[Detection]]:
    """The lines of each frame.

    Raises UserError for a line that is not as expected, an id that comes twice in a frame, and masks that overlap.
    """
    frames: list[list[Detection]] = [[] for _ in range(length)]
    for one in read_instance_lines(path):
        if not 0 <= one.frame < length:
            raise UserError(f"{path}, line {one.line}: frame {one.frame}; {MAP} says 0 to {length - 1}")
        frames[one.frame].append(Detection(one.number, one.category, one.rle))
    for frame, found in enumerate(frames):
        own = [one.number for one in found if one.category != IGNORE]
        if len(own) != len(set(own)):
            raise UserError(f"{path}, frame {frame}: the id {max(own, key=own.count)} comes more than once")
        masks = [one.mask for one in found]
        if len({tuple(mask["size"]) for mask in masks}) > 1:
            raise UserError(f"{path}, frame {frame}: masks have different sizes; expected those of the frame")
        region = [one.mask for one in found if one.category == IGNORE]
        apart = [one.mask for one in found if one.category != IGNORE] + ([merged(region)] if region else [])
        if len(apart) > 1 and areas(apart).sum() != areas([merged(apart)])[0]:
            raise UserError(f"{path}, frame {frame}: masks overlap; expected each pixel in one mask at most")
    return frames


def find_sequences(gt: Path, pred: Path) -> list[TrackingFiles]:
    """The sequences of the map. Raises UserError for what is missing."""
    need_folder(gt, f"{MAP} and label_02/SEQUENCE.txt")
    folder = need_folder(pred, "data/SEQUENCE.txt")
    folder = folder / "data" if (folder / "data").is_dir() else folder
    sequences = []
    for line in read_lines(gt / MAP, "sequence, a word, first and last frame"):
        parts = line.split()
        try:
            name, length = f"{int(parts[0]):04d}", int(parts[3]) + 1
        except (ValueError, IndexError) as error:
            raise UserError(f"{gt / MAP}: {line!r}; expected sequence, a word, first and last frame") from error
        files = (gt / "label_02" / f"{name}.txt", folder / f"{name}.txt")
        for path in files:
            need_file(path, f"lines of {LINE}")
        sequences.append(TrackingFiles(name, *files, length))
    return sequences


def _row(parts: dict[str, Any]) -> dict[str, float]:
    means = {name: parts["HOTA"][f"{name}_mean_over_alpha"] for name in ("HOTA", "DetA", "AssA")}
    clear = {"MOTSA": parts["CLEAR"]["MOTA"], "sMOTSA": parts["CLEAR"]["sMOTA"], "IDSW": parts["CLEAR"]["IDSW"]}
    return {**means, **clear, "IDF1": parts["Identity"]["IDF1"]}
