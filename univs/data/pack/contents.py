"""What stands in the JSON of a pack: its index, the line of a recording, the labels of a frame."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from univs.errors import UserError
from univs.masks.label_texts import label_texts, labels_of_texts
from univs.masks.run_lengths import MOST_PIXELS, BrokenRunsError
from univs.settings import Count, CountFromZero, Weight, make

FORMAT = "univs pack"
VERSION = 1
INDEX = "index.json"
MEMBER = re.compile(r"index\.json|\d{3}/(recordings\.jsonl|\d{6,9}-\d{5,9}\.(webp|json))", re.ASCII)
"""The names that members have; whatever else is in the file is not looked at."""
LARGEST_SIDE = 16383
"""Pixels that a side of a WebP picture may have."""
Use = Literal["clips", "words"]
"""What is trained with a pack: a stage on clips, or stage=words."""


@dataclass(frozen=True)
class PackedSource:
    """A source as the index has it, at its place in the list of sources.

    sort: what it gives: photos and videos for clips, samples for words; made: nothing is stored, it is made anew with
    the `options` of its reader. name: for people. names, stuff_names: of samples.
    """

    sort: Literal["photos", "videos", "samples", "made"]
    name: str = ""
    weight: Weight = 1.0
    gaps: tuple[Count, Count] = (1, 2)
    recordings: CountFromZero = 0
    names: Sequence[str] = ()
    stuff_names: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Index:
    """What a pack is.

    use: what it is for. longest, quality: of a side in pixels, and of WebP, as it was packed. probabilities, synth:
    settings of `data` that it was packed with; None for words.
    """

    use: Use
    sources: Sequence[Mapping[str, Any]]
    longest: Count
    quality: CountFromZero
    probabilities: Mapping[str, Weight] | None = None
    synth: Mapping[str, Any] | None = None


class Recorded(NamedTuple):
    """What is known of a recording without its frames; see `VideoSample` and `PhotoSource` for what the fields say."""

    name: str
    frames: int
    complete: bool
    categories: dict[int, str] = {}
    nouns: tuple[str, ...] = ()
    stuff: dict[int, str] = {}
    expressions: dict[int, tuple[str, ...]] = {}


class PackedFrame(NamedTuple):
    """A frame H x W: image H W 3, labels H W and, where a set has it, the panoptic map H W, all uint8."""

    image: np.ndarray
    labels: np.ndarray
    panoptic: np.ndarray | None = None


def member(source: int, recording: int, frame: int, suffix: str) -> str:
    """Name of a picture (webp) or of labels (json)."""
    return f"{source:03d}/{recording:06d}-{frame:05d}.{suffix}"


def recordings_member(source: int) -> str:
    """Name of the lines of a source's recordings."""
    return f"{source:03d}/recordings.jsonl"


def index_text(index: Index) -> bytes:
    """The index as JSON."""
    return json.dumps({"format": FORMAT, "version": VERSION, **vars(index)}, indent=1).encode()


def read_index(text: bytes, where: str) -> tuple[Index, list[PackedSource]]:
    """The index of a pack and its sources. Raises UserError for anything else."""
    try:
        content = json.loads(text)
        known, version = content.pop("format") == FORMAT, content.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        known, version = False, None
    if not known:
        raise UserError(f"{where} is no pack: its {INDEX} does not say that univs datasets pack wrote it")
    if version != VERSION:
        raise UserError(
            f"{where} is a pack of version {version!r:.20}; this univs reads version {VERSION}: pack it again"
        )
    index = make(Index, content, where)
    return index, [make(PackedSource, source, f"{where}, sources.{k}") for k, source in enumerate(index.sources)]


def recorded_line(recorded: Recorded) -> bytes:
    """A recording as a line of JSON; what is empty is left out."""
    content = {name: value for name, value in recorded._asdict().items() if value not in ({}, (), [])}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_recorded(line: bytes, where: str) -> Recorded:
    """The recording of a line. Raises UserError for anything else."""
    try:
        content = json.loads(line)
        return Recorded(
            str(content["name"]),
            int(content["frames"]),
            bool(content["complete"]),
            {int(number): str(name) for number, name in content.get("categories", {}).items()},
            tuple(map(str, content.get("nouns", ()))),
            {int(number): str(name) for number, name in content.get("stuff", {}).items()},
            {int(number): tuple(map(str, said)) for number, said in content.get("expressions", {}).items()},
        )
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{where} has a line that is no recording ({error!r:.80}); pack it again") from error


def labels_text(labels: np.ndarray, panoptic: np.ndarray | None) -> bytes:
    """The labels of a frame as JSON."""
    content: dict[str, Any] = {"size": list(labels.shape), "objects": label_texts(labels)}
    if panoptic is not None:
        content["panoptic"] = label_texts(panoptic)
    return json.dumps(content, separators=(",", ":")).encode()


def read_labels(text: bytes, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Object labels H W uint8 and, if it is there, the panoptic map. Raises UserError for anything else."""
    try:
        content = json.loads(text)
        height, width = map(int, content["size"])
        if height < 1 or width < 1 or height * width > MOST_PIXELS:
            raise ValueError(f"{height} x {width} pixels")
        objects = _read_map(content["objects"], (height, width))
        return objects, _read_map(content["panoptic"], (height, width)) if "panoptic" in content else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, BrokenRunsError) as error:
        raise UserError(f"{where} holds no labels ({error!r:.80}); pack it again") from error


def _read_map(texts: Mapping[str, str], size: tuple[int, int]) -> np.ndarray:
    numbered = {int(number): counts for number, counts in texts.items()}
    if not all(0 < number < 256 and isinstance(counts, str) for number, counts in numbered.items()):
        raise ValueError("ids are 1 to 255, masks are texts")
    return labels_of_texts(numbered, size)
