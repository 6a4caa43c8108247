"""CLEAR MOT and identity measures of tracking: MOTSA, sMOTSA, identity switches, IDF1.

Sources: Bernardin & Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008;
Voigtlaender et al., "MOTS: Multi-Object Tracking and Segmentation", CVPR 2019; Ristani et al., "Performance Measures
and a Data Set for Multi-Target, Multi-Camera Tracking", 2016. Names and conventions at the edges are those of
TrackEval, whose MOTA and sMOTA are MOTSA and sMOTSA where the IoU is that of masks. Figures are fractions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import linear_sum_assignment

from univs.evaluation.metrics.hota import EPSILON, Tracking

THRESHOLD = 0.5
STAY = 1000
"""What it is worth, in IoU, to match whom one was matched with in the frame before."""


@dataclass(frozen=True)
class ClearTally:
    """What CLEAR counts; tallies of sequences add up.

    Attributes:
        tp, fn, fp: detections matched, missed, and for nothing.
        switches: matches with another identity than the last one.
        most, part, least: true identities matched in more than 80 %, at least 20 %, and fewer of their frames.
        breaks: how often a true identity is matched anew after a gap.
        frames: of sequences with detections on both sides.
        iou: sum over the matches.
    """

    tp: int = 0
    fn: int = 0
    fp: int = 0
    switches: int = 0
    most: int = 0
    part: int = 0
    least: int = 0
    breaks: int = 0
    frames: int = 0
    iou: float = 0.0

    def __add__(self, other: ClearTally) -> ClearTally:
        return ClearTally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def figures(self, one_sequence: bool) -> dict[str, float]:
        """All figures. Those of one sequence without any true or any predicted detection are 0, but its MLR 1."""
        truth, identities = max(1, self.tp + self.fn), max(1, self.most + self.part + self.least)
        counts = {"CLR_TP": self.tp, "CLR_FN": self.fn, "CLR_FP": self.fp, "IDSW": self.switches}
        counts |= {"MT": self.most, "PT": self.part, "ML": self.least, "Frag": self.breaks, "CLR_Frames": self.frames}
        shares = {
            "MOTA": (self.tp - self.fp - self.switches) / truth,
            "MOTP": self.iou / max(1, self.tp),
            "MODA": (self.tp - self.fp) / truth,
            "CLR_Re": self.tp / truth,
            "CLR_Pr": self.tp / max(1, self.tp + self.fp),
            "MTR": self.most / identities,
            "PTR": self.part / identities,
            "MLR": self.least / identities,
            "sMOTA": (self.iou - self.fp - self.switches) / truth,
            "CLR_F1": self.tp / max(1, self.tp + 0.5 * self.fn + 0.5 * self.fp),
            "FP_per_frame": self.fp / max(1, self.frames),
            "MOTAL": (self.tp - self.fp - (math.log10(self.switches) if self.switches else 0)) / truth,
        }
        if one_sequence and (self.tp + self.fn == 0 or self.tp + self.fp == 0):
            shares = {**dict.fromkeys(shares, 0.0), "MLR": 1.0}
        return {**shares, "MOTP_sum": self.iou, **counts}


@dataclass(frozen=True)
class IdentityTally:
    """Frames in which the right identity is found, missed, and for nothing; tallies of sequences add up."""

    tp: int = 0
    fn: int = 0
    fp: int = 0

    def __add__(self, other: IdentityTally) -> IdentityTally:
        return IdentityTally(self.tp + other.tp, self.fn + other.fn, self.fp + other.fp)

    def figures(self) -> dict[str, float]:
        """IDF1, recall and precision of identities, and the counts."""
        return {
            "IDF1": self.tp / max(1, self.tp + 0.5 * self.fp + 0.5 * self.fn),
            "IDR": self.tp / max(1, self.tp + self.fn),
            "IDP": self.tp / max(1, self.tp + self.fp),
            "IDTP": self.tp,
            "IDFN": self.fn,
            "IDFP": self.fp,
        }


def measure_clear(tracking: Tracking) -> ClearTally:
    """CLEAR of one class of one sequence: in each frame as many matches of IoU 0.5 or more as stay, then the best.

    A frame without true or without predicted detections does not end a match: who was matched before it still counts
    as matched in "the frame before".
    """
    true_count = tracking.true_count
    if not tracking.predicted_detections:
        return ClearTally(fn=tracking.true_detections, least=true_count)
    if not tracking.true_detections:
        return ClearTally(fp=tracking.predicted_detections)
    seen, matched, begun = (np.zeros(true_count, np.int64) for _ in range(3))
    last, before = np.full(true_count, -1), np.full(true_count, -1)
    tp = switches = 0
    total = 0.0
    for truth, prediction, iou in tracking.frames:
        seen[truth] += 1
        if not iou.size:
            continue
        worth = np.where(iou < THRESHOLD - EPSILON, 0, STAY * (before[truth][:, None] == prediction) + iou)
        rows, columns = linear_sum_assignment(worth, maximize=True)
        chosen = worth[rows, columns] > EPSILON
        rows, columns = rows[chosen], columns[chosen]
        who, whom = truth[rows], prediction[columns]
        switches += int(np.count_nonzero((last[who] >= 0) & (last[who] != whom)))
        matched[who] += 1
        begun[who[before[who] < 0]] += 1
        last[who] = whom
        before[:] = -1
        before[who] = whom
        tp += len(who)
        total += float(iou[rows, columns].sum())
    share = matched / seen
    most = int(np.count_nonzero(share > 0.8))
    part = int(np.count_nonzero(share >= 0.2)) - most
    return ClearTally(
        tp,
        tracking.true_detections - tp,
        tracking.predicted_detections - tp,
        switches,
        most,
        part,
        true_count - most - part,
        int(np.maximum(begun - 1, 0).sum()),
        len(tracking.frames),
        total,
    )


def measure_identity(tracking: Tracking) -> IdentityTally:
    """Identity measures of one class of one sequence: each true identity goes with one predicted one at most.

    The assignment is the one with the most frames in which both have an IoU of 0.5 or more.
    """
    together = np.zeros((tracking.true_count, tracking.predicted_count), np.int64)
    for truth, prediction, iou in tracking.frames:
        together[truth[:, None], prediction] += iou >= THRESHOLD
    right = int(together[linear_sum_assignment(together, maximize=True)].sum())
    return IdentityTally(right, tracking.true_detections - right, tracking.predicted_detections - right)
