"""`univs score vot`: accuracy, robustness and expected average overlap of answers in the files of the VOT challenge.

Overlaps are those of the regions as far as they lie in the frame, exact, where the official toolkits draw them on
pixels. Several runs of a tracker (SEQUENCE_001.txt, SEQUENCE_002.txt, ...) count alike.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.score_files import need_folder, read_lines
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.evaluation.metrics.vot_measures import (
    Track,
    accuracy,
    expected_average_overlap,
    failure_rate,
    typical_lengths,
)
from univs.formats.vot import (
    BEGUN,
    EXPERIMENT,
    FAILED,
    PASSED,
    home_of,
    read,
    region_of_line,
)
from univs.formats.vot import read_regions as read_truth
from univs.masks.polygon_overlaps import polygon_overlap
from univs.video.pictures import glance_at

INTERVALS = {"vot2016": (108, 371), "vot2018": (100, 356), "vot2019": (46, 291)}
"""Lengths of typical sequences of a challenge, frames."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet, interval: str = "lengths") -> Scores:
    """All figures of a folder of answers.

    Args:
        interval: whose typical lengths the expected average overlap is over: those of a challenge, or of these
            sequences ("lengths").
    Raises UserError for whatever is wrong with the files.
    """
    need_folder(pred / EXPERIMENT, "SEQUENCE/SEQUENCE_001.txt")
    data = read(gt)
    names = [recording.name for recording in data.recordings]
    frames = [len(recording) for recording in data.recordings]
    measured = score_videos(partial(tracks_of, gt, pred), names, workers, progress, frames)
    found = dict(zip(names, measured, strict=True))
    lengths = typical_lengths(frames) if interval == "lengths" else INTERVALS[interval]
    every = [track for tracks in found.values() for track in tracks]
    runs = len(every) / len(found)
    summary = {
        "EAO": expected_average_overlap(every, lengths),
        "A": accuracy(every),
        "R": failure_rate(every),
        "failures": sum(len(track.failed) for track in every) / runs,
    }
    rows = {
        name: {"A": accuracy(tracks), "failures": sum(len(one.failed) for one in tracks) / len(tracks)}
        for name, tracks in found.items()
    }
    figures = {**summary, "low": lengths[0], "high": lengths[1], "per_sequence": rows}
    return Scores(figures, summary, rows)


def tracks_of(gt: Path, pred: Path, name: str) -> list[Track]:
    """The runs over a sequence. Raises UserError for answers that are missing or do not fit."""
    folder = pred / EXPERIMENT / name
    files = sorted(path for path in folder.glob("*.txt") if re.fullmatch(rf"{re.escape(name)}_\d{{3}}\.txt", path.name))
    if not files:
        raise UserError(f"no answers to the sequence {name}: there is no {folder / f'{name}_001.txt'}")
    (recording,) = read(gt, [name]).recordings
    truth = read_truth(home_of(gt) / name / "groundtruth.txt")
    size = glance_at(recording.frames[0])
    return [track_of(path, truth, size) for path in files]


def track_of(path: Path, truth: list[np.ndarray | None], size: tuple[int, int]) -> Track:
    """A run, from its file. Raises UserError for lines that are no answers, and for more or fewer than frames."""
    lines = read_lines(path, "regions")
    if len(lines) != len(truth):
        raise UserError(f"{path} has {len(lines)} lines for {len(truth)} frames; one for each is needed")
    overlaps = np.full(len(lines), np.nan)
    for index, (line, true) in enumerate(zip(lines, truth, strict=True)):
        if code_of(line) is None:
            region = region_of_line(line, f"{path}, line {index + 1}")
            if true is not None:  # who answers that the object is nowhere meets nothing of it
                overlaps[index] = 0.0 if region is None else polygon_overlap(region, true, size)
    codes = [code_of(line) for line in lines]
    running = False
    for number, code in enumerate(codes, 1):
        if code in (None, FAILED) and not running:
            raise UserError(f"{path}, line {number}: nobody was begun (by a line {BEGUN}) before it")
        running = code == BEGUN or (running and code != FAILED)
    begun, failed = (tuple(i for i, code in enumerate(codes) if code == kind) for kind in (BEGUN, FAILED))
    if not begun:
        raise UserError(f"{path} says nowhere (by a line {BEGUN}) that the tracker was begun")
    return Track(overlaps, begun, failed)


def code_of(line: str) -> str | None:
    """What a line says that is no region: begun, failed or passed over."""
    return next((code for code in (BEGUN, FAILED, PASSED) if re.fullmatch(rf"{code}(\.0*)?", line)), None)
