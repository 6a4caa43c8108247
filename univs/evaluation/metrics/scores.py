"""What `univs score` can compute: one line per metric, and what a scorer takes and gives.

A scorer reads ground truth and predictions in the official layout of its benchmark and returns the official figures.
Its module is imported when it is asked for, so that the command starts quickly.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from univs.errors import UserError

Progress = Callable[[int, int], object]
"""Called with the number of videos done and of all videos."""


def quiet(done: int, total: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True)
class Scores:
    """What a scorer gives.

    Attributes:
        figures: everything, nested, with the names and units of the official tool: what `--json` prints (NaN as null).
        summary: the figures that a paper would print, in order, by name.
        rows: video (or class, object, expression) -> name of a figure -> figure: the table.
    """

    figures: Mapping[str, Any]
    summary: Mapping[str, float]
    rows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Score(Protocol):
    """A scorer. Raises UserError for whatever is wrong with the files, OSError for what cannot be read."""

    def __call__(
        self, gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet, **options: str
    ) -> Scores: ...


@dataclass(frozen=True)
class Metric:
    """One metric of `univs score`.

    Attributes:
        home: module and function of its scorer, `univs.evaluation.module:function`.
        text: what is scored, in a few words.
        gt: what `--gt` must be.
        pred: what `--pred` must be.
        aliases: other names of it.
        options: option -> the values it may have, the first by default.
    """

    home: str
    text: str
    gt: str
    pred: str
    aliases: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def load(self) -> Score:
        """The scorer; its module is imported here."""
        module, _, function = self.home.partition(":")
        score: Score = getattr(import_module(module), function)
        return score


METRICS: dict[str, Metric] = {
    "davis2016_jft": Metric(
        "univs.evaluation.metrics.davis2016_scores:score",
        "DAVIS-2016, one object: J and F with mean, recall and decay, temporal stability T",
        "DAVIS folder (Annotations/480p and sequences.txt or ImageSets/480p/val.txt)",
        "folder of SEQUENCE/*.png",
        ("davis2016",),
    ),
    "davis2017_semisupervised": Metric(
        "univs.evaluation.metrics.davis_scores:score_semisupervised",
        "DAVIS-2017, objects given on the first frame: J, F and J&F with mean, recall and decay",
        "DAVIS folder (Annotations/480p, ImageSets/2017/val.txt)",
        "folder of SEQUENCE/*.png",
        ("davis2017",),
    ),
    "davis2017_unsupervised": Metric(
        "univs.evaluation.metrics.davis_scores:score_unsupervised",
        "DAVIS-2017, objects found without help: J, F and J&F of the best matching proposals",
        "DAVIS folder (Annotations_unsupervised/480p, ImageSets/2017/val.txt)",
        "folder of SEQUENCE/*.png",
        ("davis2019_unsupervised",),
    ),
    "ref_davis17": Metric(
        "univs.evaluation.metrics.davis_scores:score_ref_davis17",
        "Ref-DAVIS17, objects described by four annotators: J, F and J&F",
        "DAVIS folder (Annotations_unsupervised/480p, ImageSets/2017/val.txt)",
        "folder of anno_0 to anno_3, each with SEQUENCE/*.png",
        ("ref_davis",),
    ),
    "youtube_vos": Metric(
        "univs.evaluation.metrics.youtube_vos:score",
        "YouTube-VOS: J and F of seen and unseen categories, G (published definition; the server's tool is closed)",
        "folder of valid/ (meta.json, Annotations_gt) and seen_categories.json",
        "folder of VIDEO/FRAME.png",
        ("ytvos", "youtube_vos_2018", "youtube_vos_2019"),
    ),
    "vspw": Metric(
        "univs.evaluation.metrics.vspw:score",
        "VSPW: mIoU, fwIoU, mVC8, mVC16",
        "VSPW folder (val.txt, data/VIDEO/mask/*.png)",
        "folder of VIDEO/*.png, classes 0 to 123",
        ("vss",),
        {"labels": ("reduced", "raw")},
    ),
    "camvid": Metric(
        "univs.evaluation.metrics.camvid:score",
        "CamVid: mIoU and accuracy of eleven classes",
        "folder of FRAME.png, classes 0 to 10, above them void",
        "folder of FRAME.png, classes 0 to 10",
    ),
    "ref_expressions": Metric(
        "univs.evaluation.metrics.expressions:score",
        "Ref-YouTube-VOS, MeViS: J, F and J&F of expressions",
        "folder of meta_expressions.json and mask_dict.json",
        "folder of VIDEO/EXPRESSION/FRAME.png",
        ("ref_youtube_vos", "mevis"),
    ),
    "viposeg_pvos": Metric(
        "univs.evaluation.metrics.viposeg_pvos:score",
        "VIPOSeg: mask and boundary IoU of things and stuff, seen and unseen; G; decay",
        "valid folder (Annotations_gt, Annotations, obj_class.json)",
        "folder of VIDEO/*.png",
        ("viposeg", "pvos"),
    ),
    "burst": Metric(
        "univs.evaluation.metrics.burst:score",
        "BURST: HOTA, DetA, AssA and track AP of all, common and uncommon classes",
        "all_classes.json of the ground truth",
        "results.json in the BURST format",
        ("tao",),
        {"task": ("class_guided", "exemplar_guided")},
    ),
    "kitti_mots": Metric(
        "univs.evaluation.metrics.kitti_mots:score",
        "KITTI-MOTS: HOTA, MOTSA, sMOTSA, IDF1 of cars and of pedestrians",
        "folder of evaluate_mots.seqmap.val and label_02/SEQUENCE.txt",
        "folder of data/SEQUENCE.txt",
        ("mots", "motsa"),
    ),
    "kitti_step_stq": Metric(
        "univs.evaluation.metrics.kitti_step_stq:score",
        "KITTI-STEP: STQ, AQ, SQ",
        "folder of SEQUENCE/*.png (R class, 256 G + B instance)",
        "folder of SEQUENCE/*.png (the same)",
        ("kitti_step", "stq"),
    ),
    "interactive": Metric(
        "univs.evaluation.metrics.interactive:score",
        "DAVIS interactive: area under the curve of J&F over time, J&F at 60 s",
        "folder of DAVIS/Annotations/480p, dataset.json and rounds.json",
        "folder of SEQUENCE_SCRIBBLE.npz, each with masks[interaction - 1, frame, y, x]",
        ("davis_interactive",),
    ),
    "vot": Metric(
        "univs.evaluation.metrics.vot:score",
        "VOT: accuracy, failures in a hundred frames, expected average overlap",
        "folder of SEQUENCE/groundtruth.txt and frames",
        "folder of baseline/SEQUENCE/SEQUENCE_001.txt",
        (),
        {"interval": ("lengths", "vot2016", "vot2018", "vot2019")},
    ),
    "youtube_vis": Metric(
        "univs.evaluation.metrics.youtube_vis:score",
        "YouTube-VIS, OVIS: AP, AP50, AP75, AR1, AR10 of tubes, also by size",
        "ground truth in the YouTube-VIS format (.json or .json.gz)",
        "results.json: a list of video_id, category_id, score, segmentations",
        ("ytvis", "vis", "ovis"),
    ),
    "panoptic_quality": Metric(
        "univs.evaluation.metrics.panoptic_quality:score",
        "panoptic images: PQ, SQ and RQ, of things and of stuff",
        "gt.json (its PNG in gt/ beside it)",
        "pred.json (its PNG in pred/ beside it)",
        ("pq", "coco_panoptic"),
    ),
    "vipseg_vpq_stq": Metric(
        "univs.evaluation.metrics.vipseg_vpq_stq:score",
        "VIPSeg: VPQ over windows of 1, 2, 4, 6 and 8 frames, things and stuff; STQ, AQ, SQ",
        "VIPSeg folder (panoptic_gt_VIPSeg_val.json, panomasksRGB/VIDEO/*.png)",
        "folder of pred.json and pan_pred/VIDEO/*.png",
        ("vipseg", "vpq", "vps"),
    ),
}


def find_metric(name: str) -> tuple[str, Metric]:
    """A metric by its name or alias (- and _ are the same, as are A and a); UserError if there is none."""
    asked = name.lower().replace("-", "_")
    for known, metric in METRICS.items():
        if asked in (known, *metric.aliases):
            return known, metric
    near = difflib.get_close_matches(asked, [n for k, m in METRICS.items() for n in (k, *m.aliases)], 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(METRICS)}"
    raise UserError(f"unknown metric {name}: {meant}")
