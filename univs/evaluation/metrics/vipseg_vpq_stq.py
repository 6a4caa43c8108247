"""`univs score vipseg_vpq_stq`: VPQ (windows of 1, 2, 4, 6 and 8 frames) and STQ on the VIPSeg layout.

Ground truth: `panoptic_gt_VIPSeg_val.json` and `panomasksRGB/VIDEO/*.png`; predictions: `pred.json` and
`pan_pred/VIDEO/*.png`; id = R + 256 G + 65536 B, 0 = void. VPQ is in percent, PQ of a class and STQ are fractions.
Rules are those of VIPSeg-Dataset/VIPSeg-Dataset. What two maps share is counted once per frame; both figures follow
from these counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.panoptic import PanopticFrame, PanopticTally, Segment, Tubes
from univs.evaluation.metrics.panoptic_files import Categories, read_frame
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.evaluation.metrics.stq import Meetings, SequenceStq, measure_sequence, stq_figures
from univs.evaluation.metrics.vipseg_files import SpooledVideo, read_video, spool_videos

WINDOWS = (1, 2, 4, 6, 8)
PAPER_WINDOWS = (1, 2, 4, 6)
CLASSES = 124
CROWD = 0
"""The segment that a video's ground truth lists first is a crowd to AQ, if it is a thing: an oddity of the tool."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """VPQ and STQ of a folder of predictions. Raises UserError for whatever is wrong with the files."""
    with TemporaryDirectory(prefix="univs-score-") as folder:
        videos, categories = spool_videos(gt, pred, Path(folder))
        weights = [video.truth.size + video.prediction.size for video in videos]
        measured = score_videos(partial(measure_video, categories=categories), videos, workers, progress, weights)
    nothing = PanopticTally.nothing(len(categories.places))
    tallies = {window: sum((found[window] for found, _ in measured), nothing) for window in WINDOWS}
    by_window = {window: window_figures(tallies[window], categories) for window in WINDOWS}
    paper, final = (_mean_over(by_window, windows) for windows in (PAPER_WINDOWS, WINDOWS))
    stq = stq_figures(range(len(videos)), [sequence for _, sequence in measured])
    figures = {
        "vpq_mean_over_windows_1_2_4_6": paper,
        "vpq_mean_over_windows_1_2_4_6_8_official_final": final,
        "vpq_by_window": by_window,
        "stq": stq,
    }
    summary = {"VPQ": paper["vpq_all"], "VPQ things": paper["vpq_thing"], "VPQ stuff": paper["vpq_stuff"]}
    summary |= {f"VPQ{window}": by_window[window]["vpq_all"] for window in PAPER_WINDOWS}
    summary |= {"STQ": stq["STQ"], "AQ": stq["AQ"], "SQ": stq["IoU"]}
    rows = {video.name: _row(*parts) for video, parts in zip(videos, measured, strict=True)}
    return Scores(figures, summary, rows)


def measure_video(video: SpooledVideo, categories: Categories) -> tuple[dict[int, PanopticTally], SequenceStq]:
    """The VPQ tallies of all windows and the parts of STQ of one video. Raises UserError for what its files lack."""
    frames = [read_frame(frame) for frame in read_video(video, categories)]
    tubes = Tubes(frames, categories.places)
    tallies = {window: tubes.tally(window) for window in WINDOWS}
    classes = max(CLASSES, 1 + max(categories.places))
    things = [number for number, thing in categories.things.items() if thing]
    return tallies, measure_sequence(meetings(frames, classes), things, classes, CROWD, len(frames))


def meetings(frames: Sequence[PanopticFrame], classes: int) -> Meetings:
    """Classes and instances that meet; an instance is the place of the id among all that the video lists, from 0."""
    true_places: dict[int, int] = {}
    predicted_places: dict[int, int] = {}
    parts = []
    for frame in frames:
        for segments, places in ((frame.truth, true_places), (frame.prediction, predicted_places)):
            for segment in segments:
                places.setdefault(segment.number, len(places))
        true = _classes_and_instances(frame.shared.truth, frame.truth, true_places, classes)
        predicted = _classes_and_instances(frame.shared.prediction, frame.prediction, predicted_places, classes)
        parts.append((*true, *predicted, frame.shared.pixels))
    return Meetings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def window_figures(tally: PanopticTally, categories: Categories) -> dict[str, Any]:
    """VPQ of one length of window (percent), and what it is made of (fractions), under the names of the tool."""
    means = tally.groups(categories.is_thing)
    pq, sq, rq = tally.quality
    per_class = {
        number: {
            "pq": pq[k],
            "sq": sq[k],
            "rq": rq[k],
            "iou": tally.iou[k],
            "tp": tally.tp[k],
            "fp": tally.fp[k],
            "fn": tally.fn[k],
        }
        for number, k in categories.places.items()
    }
    vpq = {f"vpq_{kind}": 100 * means[group]["pq"] for kind, group in VPQ_GROUPS.items()}
    kept = {group: {key: row[key] for key in ("sq", "rq", "n")} for group, row in means.items()}
    return {**vpq, "sq_rq": kept, "per_class": per_class}


VPQ_GROUPS = {"all": "All", "thing": "Things", "stuff": "Stuff"}


def _classes_and_instances(
    numbers: np.ndarray, segments: Sequence[Segment], places: Mapping[int, int], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of each id: its class in this frame (void where it is not listed) and its place (0 where it has none)."""
    category = {segment.number: segment.category for segment in segments}
    listed = numbers.tolist()
    return (
        np.array([category.get(number, classes) for number in listed], np.int64),
        np.array([places.get(number, 0) if number in category else 0 for number in listed], np.int64),
    )


def _mean_over(by_window: Mapping[int, Mapping[str, Any]], windows: Sequence[int]) -> dict[str, float]:
    return {key: float(np.mean([by_window[k][key] for k in windows])) for key in ("vpq_all", "vpq_thing", "vpq_stuff")}


def _row(tallies: Mapping[int, PanopticTally], sequence: SequenceStq) -> dict[str, float]:
    every = np.ones(len(tallies[1].iou), bool)
    vpq = {f"VPQ{window}": 100 * tallies[window].means(every)["pq"] for window in PAPER_WINDOWS}
    return {**vpq, "STQ": sequence.stq, "AQ": sequence.aq, "SQ": sequence.sq}
