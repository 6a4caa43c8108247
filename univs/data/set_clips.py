"""Training clips for the official stages: each batch is drawn from one data set, by its ratio, and asked one thing.

Frames are drawn around a frame of the video; an image stands still for a clip, and moves by its jitter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from univs.data.clips import draw
from univs.data.jitter import Jitter, jitter_clip
from univs.data.labelled_sets import SET_READERS, LabelledSet, Question
from univs.data.source_settings import SourceCount, open_sources
from univs.errors import UserError
from univs.formats.sample import IGNORE, VideoSample

TRIES = 100
LAST_TIME = 128
"""The last frame index that the position of time knows."""
SIDE = r"\b(left|right)(?=(most|hand|handed|side|wards?|est)?\b)"
"""In an expression: a word, or the beginning of one (leftmost, right-hand, righthand), that changes in the mirror."""
IMAGE_LENGTH, IMAGE_NEAR = 3, 2
"""An image stands for a video of so many clips; its frames lie within so many clips of one of them."""


@dataclass(frozen=True)
class SetClip:
    """T frames of S x S pixels with their objects: of things and stuff, or those that are described."""

    frames: np.ndarray
    """T S S 3 uint8 RGB."""
    segments: np.ndarray
    """T S S uint8: the ids."""
    frame_indices: tuple[int, ...]
    """Places among the labelled frames of the video."""
    ids: tuple[int, ...]
    """On the frames that were drawn, though the crop may show none of it."""
    classes: tuple[int, ...] | None
    """Of the objects; None where nobody asks or knows."""
    expressions: tuple[str, ...] | None
    source: int
    """The data set."""
    question: Question


@dataclass(frozen=True)
class SetClipSettings:
    """What clips to make.

    frames: T. size: S in pixels. objects: of a clip, at most. batch: clips of a batch, those of all processes together.
    near: how many labelled frames may lie between two frames of a clip, on either side of one of them. length: what
    `len` says, for samplers that ask; there are clips beyond it.
    """

    frames: int
    size: int
    objects: int
    batch: int
    near: int = 40
    jitter: Jitter = Jitter()
    seed: int = 0
    length: int = 1_000_000_000


class SetClips(Dataset[SetClip]):
    """An endless supply of clips: that of an index depends on index and seed alone, its data set on its batch."""

    def __init__(
        self,
        sets: Sequence[tuple[LabelledSet, float]],
        settings: SetClipSettings,
        counts: Sequence[SourceCount] = (),
    ) -> None:
        """sets: with their ratios. counts: of what they hold, for who reports it. Raises UserError without any."""
        self.sets, self.settings, self.counts = [one for one, _ in sets], settings, tuple(counts)
        self._ratios = {place: ratio for place, (one, ratio) in enumerate(sets) if len(one) and ratio > 0}
        if not self._ratios:
            raise UserError("training clips: no source with something in it and a weight above 0 in data.sources")

    @property
    def shares(self) -> Mapping[str, float]:
        """Weights of the images and of the videos, for who reports them."""
        sorts = sorted({one.sort for one in self.counts})
        return {sort: sum(one.weight for one in self.counts if one.sort == sort) for sort in sorts}

    def __len__(self) -> int:
        return self.settings.length

    def __getitem__(self, index: int) -> SetClip:
        if index < 0:
            raise IndexError(index)
        place, question = self.of_batch(index // self.settings.batch)
        rng, source = np.random.default_rng([self.settings.seed, 1, index]), self.sets[place]
        for _ in range(TRIES):
            clip = self._clip(source, place, question, rng)
            if clip is not None:
                return clip
        what = "described object" if question == "expressions" else "object"
        raise UserError(f"training clips: {TRIES} clips drawn from data.sources.{place}, none with any {what}")

    def of_batch(self, number: int) -> tuple[int, Question]:
        """The data set of a batch, and what its clips are asked."""
        rng = np.random.default_rng([self.settings.seed, 0, number])
        place = draw(rng, self._ratios)
        return place, draw(rng, self.sets[place].shares)

    def _clip(self, source: LabelledSet, place: int, question: Question, rng: np.random.Generator) -> SetClip | None:
        """A clip of any video of a data set; None if its crops show no object."""
        settings, count = self.settings, self.settings.frames
        video = source.videos[int(rng.integers(len(source.videos)))]
        length = len(video.annotated)
        if length > 1:
            indices = draw_frames(rng, length, count, source.near or settings.near)
            stored = sorted(set(indices))
            sample = video.sample(stored)
            chosen = [stored.index(t) for t in indices]
        else:
            indices = draw_frames(rng, IMAGE_LENGTH * count, count, IMAGE_NEAR * count)
            sample, chosen = video.sample([0]), [0] * count
        described = question == "expressions"
        segments = sample.labels if described or sample.panoptic is None else sample.panoptic
        ids = listed(sample, segments, source, described)
        # the first ones count where there are too many: any ones, not always the largest
        ids = [int(i) for i in rng.permutation(ids)[: settings.objects]]
        moved = jitter_clip(sample.frames[chosen], segments[chosen], rng, settings.size, settings.jitter)
        if not np.isin(moved.labels, ids).any():
            return None
        names = {**sample.categories, **sample.stuff}
        said = [str(rng.choice(list(sample.expressions[i]))) for i in ids] if described else None
        return SetClip(
            moved.frames,
            moved.labels,
            tuple(in_time(indices, rng)),
            tuple(ids),
            tuple(source.numbers[names[i]] for i in ids) if source.classes and not described else None,
            None if said is None else tuple(swap_sides(text) if moved.mirrored else text for text in said),
            place,
            question,
        )


def listed(sample: VideoSample, segments: np.ndarray, source: LabelledSet, described: bool) -> list[int]:
    """Ids on the segments T H W of which is known what is asked: an expression, or a class of the set if it has any."""
    names = {**sample.categories, **sample.stuff}
    seen = [int(i) for i in np.unique(segments) if i not in (0, IGNORE)]
    if described:
        return [i for i in seen if sample.expressions.get(i)]
    return [i for i in seen if names.get(i) in source.numbers] if source.classes else seen


def draw_frames(rng: np.random.Generator, length: int, count: int, near: int) -> list[int]:
    """Ascending frames of a video: any one, and others within `near` of it, which may come more than once."""
    first = int(rng.integers(length))
    others = [t for t in range(max(0, first - near), min(length, first + near + 1)) if t != first]
    return sorted([first, *(int(t) for t in rng.choice(others or [first], count - 1))])


def in_time(indices: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Ascending frame indices, moved by one random offset so that the position of time knows them all."""
    over = indices[-1] - LAST_TIME
    offset = int(rng.integers(over, indices[0] + 1)) if over > 0 else 0
    return [t - offset for t in indices]


def swap_sides(text: str) -> str:
    """An expression for the mirrored frame."""
    other = {"left": "right", "right": "left"}
    return re.sub(SIDE, lambda found: other[found[0].lower()], text, flags=re.IGNORECASE)


def collate_set_clips(clips: Sequence[SetClip]) -> dict[str, Any]:
    """A batch of B clips: frames B T 3 S S uint8, segments B T S S uint8, and by clip frame_indices, ids, classes and
    expressions (lists of B, or None); source and question, which all of them share.
    """
    first = clips[0]
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
    return {
        "frames": frames.permute(0, 1, 4, 2, 3).contiguous(),
        "segments": torch.from_numpy(np.stack([clip.segments for clip in clips])),
        "frame_indices": [clip.frame_indices for clip in clips],
        "ids": [clip.ids for clip in clips],
        "classes": None if first.classes is None else [clip.classes for clip in clips],
        "expressions": None if first.expressions is None else [clip.expressions for clip in clips],
        "source": first.source,
        "question": first.question,
    }


def build_set_clips(sources: Sequence[Mapping[str, Any]], settings: SetClipSettings) -> SetClips:
    """Training clips from a list of plain source descriptions.

    Each has `kind`, optionally `weight` (the ratio of its batches among those of all) and the arguments of its reader:
    set (name, root, split, exclude), coco (root, expressions, exclude), videos (root, exclude, image_set), photos
    (root, exclude), pack (file); `ask` are shares of the questions (`labelled_sets.Questions`) for sets and coco,
    `near` is that of `SetClipSettings` for sets and videos. Raises UserError for an unknown kind, a wrong argument or
    missing files.
    """
    for number, source in enumerate(sources):
        if isinstance(source, Mapping) and "gaps" in source:
            raise UserError(
                f"data.sources.{number}.gaps are for stage=clip; frames here lie within near: N of one of them "
                "(data=released_images and data=released_videos show how)"
            )
    opened = open_sources(sources, SET_READERS)
    sets = [(one.source, one.settings.weight) for one in opened]
    sorts = ["video" if any(len(video.annotated) > 1 for video in one.videos) else "photo" for one, _ in sets]
    counts = [one.counted(sort) for one, sort in zip(opened, sorts, strict=True)]
    return SetClips(sets, settings, counts)
