"""Training clips for video object segmentation: moving photos, real videos and synthetic worlds in one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import numpy as np
from torch.utils.data import Dataset

from univs.data.appearance import degrade
from univs.data.box_scenes import (
    Boxes,
    BoxesOfLabels,
    BoxScene,
    box_scene,
    choose_boxed,
    draw_box_prompts,
)
from univs.data.composites import Scene, composite_scene, static_scene
from univs.data.pack import open_pack
from univs.data.photo import PhotoSource
from univs.data.photo_pool import PhotoPool, object_areas
from univs.data.prompt_drawing import CLICKS, KINDS, FramePrompts, draw_prompts
from univs.data.region_labels import RegionLabels
from univs.data.source_settings import OpenedSource, Reader, SourceCount, Supervision, open_sources
from univs.data.sources import (
    open_box_table,
    open_image_boxes,
    open_images,
    open_masks,
    open_mot,
    open_set,
    open_videos,
)
from univs.data.video_scenes import LabelledVideo, SampleVideo, video_scene
from univs.errors import UserError
from univs.formats.sample import IGNORE, VideoSample
from univs.settings import Among, Count, SomeAboveZero, Weight, Within


def open_clip_pack(file: str | Path) -> list[OpenedSource]:
    """The photos and videos of a file that `univs datasets pack` wrote. Raises UserError as `open_pack` does."""
    return open_pack(file, "clips")


READERS = {
    "photos": Reader(open_masks),
    "coco": Reader(open_images, by_box=open_image_boxes),
    "regions": Reader(RegionLabels),
    "videos": Reader(open_videos, gaps=True),
    "set": Reader(open_set, gaps=True),
    "pack": Reader(open_clip_pack, several=True),
    "coco_boxes": Reader(open_image_boxes, boxes_alone=True),
    "mot": Reader(open_mot, gaps=True, boxes_alone=True),
    "csv": Reader(open_box_table, gaps=True, boxes_alone=True),
}
"""Kind of a source -> what reads it."""
KindShares = Annotated[Mapping[str, Weight], Among(KINDS), SomeAboveZero()]
TRIES = 100
SIZES = 0x517E
"""Sets draws of sizes apart from those of clips, which begin with the same seed."""
LEAST_LISTED = 64
"""Pixels; smaller objects are neither prompted anew nor listed for the learnable queries."""
Choice = TypeVar("Choice")


class VideoSamples(Protocol):
    """A map-style data set of videos, such as SynthVS."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> VideoSample: ...


@dataclass(frozen=True, eq=False)
class VideoSource:
    """Labelled sequences, and how to step through them."""

    sequences: Sequence[LabelledVideo]
    weight: float = 1.0  # among the video sources
    gaps: tuple[int, int] = (1, 2)  # stored frames from one clip frame to the next, smallest and largest


@dataclass(frozen=True, eq=False)
class BoxSource:
    """Videos or photos of which boxes are known."""

    videos: Boxes
    sort: str  # photo or video
    weight: float = 1.0  # among the sources of its sort
    gaps: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class TrainingClip:
    """T frames of S x S pixels and the objects to follow from frame 0 on."""

    frames: np.ndarray  # T S S 3 uint8 RGB
    labels: np.ndarray  # T S S uint8: all labelled objects 1..254, 0 background, 255 ignore
    targets: tuple[int, ...]  # ids seen on frame 0, at least one
    complete: bool  # True: every object is labelled
    kind: str  # static, composite, video, or the name of an extra source
    first: FramePrompts  # of the targets on frame 0
    anew: tuple[FramePrompts, ...]  # of other draws of objects, on the frames `spread(T, prompts.frames)`
    boxes: np.ndarray | None = None  # G T 4 float32, objects 1..G; zeros where one is not seen. labels are 255 then


@dataclass(frozen=True)
class PromptDraws:
    """What is prompted in a clip."""

    first: KindShares = field(default_factory=lambda: {"mask": 1.0})
    """Shares of the kinds (`prompt_drawing.KINDS`) for the targets on frame 0."""
    anew: KindShares = field(default_factory=lambda: {"box": 0.4, "point": 0.4, "scribble": 0.2})
    """Shares of the kinds on the frames that are answered on an empty memory."""
    frames: Count = 2
    """So many frames of a clip are."""
    objects: Count = 4
    """So many objects are prompted there, at most: larger ones more often."""
    clicks: Annotated[int, Within(1, CLICKS)] = CLICKS
    """So many clicks are made at an object, at most."""


@dataclass(frozen=True)
class GapGrowth:
    """How far apart the frames of videos lie as a run goes on.

    factors: pairs of the share of the run from which on, ascending from 0, and so many times the largest gap of a
    source are the largest. clips: of the whole run.
    """

    factors: tuple[tuple[float, float], ...]
    clips: int

    def gaps(self, own: tuple[int, int], index: int) -> tuple[int, int]:
        """Smallest and largest gap of a source, for the clip of an index."""
        factor = [factor for share, factor in self.factors if index >= share * self.clips][-1]
        return own[0], max(own[0], round(own[1] * factor))


@dataclass(frozen=True)
class ClipSettings:
    """What clips to make."""

    probabilities: Mapping[str, float]  # of "photo", "video" and the names of extra sources; need not sum to one
    frames: int = 4
    size: int | tuple[int, ...] = 256  # pixels of a side; several: one is drawn for every `together` clips in a row
    max_objects: int = 2  # targets
    least_share: float = 0.003  # of frame 0, for a target
    composite_share: float = 0.65  # of the photo clips; the others are one warped photo
    whole_share: float = 0.0  # of those, so many show all of the photo
    prompts: PromptDraws = PromptDraws()
    seed: int = 0
    length: int = 1_000_000  # what `len` says, for samplers that ask; there are clips beyond it
    together: Count = 1  # clips of one batch, all processes counted
    growth: GapGrowth | None = None  # None: every source has its own gaps throughout

    def size_of(self, index: int) -> int:
        """Pixels of a side of a clip: those of a batch have the same."""
        return size_of_batch(self.size, index // self.together, self.seed)


def size_of_batch(size: int | Sequence[int], batch: int, seed: int) -> int:
    """The one size, or one of several, drawn for the batch of that number."""
    if isinstance(size, int):
        return size
    rng = np.random.default_rng([seed, SIZES, batch])
    return size[int(rng.integers(len(size)))]


def missing_source(name: str, share: float) -> str:
    """What to set where clips of some name are to be drawn, and no source has them."""
    kinds = {"photo": "photos, coco, regions or set", "video": "videos or set"}
    add = f"add a source of {name}s (kind: {kinds[name]}) to data.sources, or " if name in kinds else ""
    return f"clip probabilities: no source for {name}, drawn with {share:g}; {add}set data.probabilities.{name}=0"


class TrainingClips(Dataset[TrainingClip]):
    """An endless supply of clips: the clip of an index depends on index and seed alone, never on what came before."""

    def __init__(
        self,
        settings: ClipSettings,
        *,
        photos: PhotoPool | None = None,
        videos: Sequence[VideoSource] = (),
        extra: Mapping[str, VideoSamples] | None = None,
        counts: Sequence[SourceCount] = (),
        boxes: Sequence[BoxSource] = (),
        supervision: Supervision = "masks",
    ) -> None:
        """boxes: sources of which boxes alone are known. supervision: what is known of the extra ones. counts: of what
        the photos and videos are, for who reports it. Raises UserError for a probability without its source."""
        self.settings, self.counts = settings, tuple(counts)
        self.photos = photos
        self.videos = [source for source in videos if len(source.sequences) and source.weight > 0]
        self.boxes = [source for source in boxes if len(source.videos) and source.weight > 0]
        self.extra, self.supervision = dict(extra or {}), supervision
        have = {*(["photo"] if photos else []), *(["video"] if self.videos else []), *self.extra}
        have |= {source.sort for source in self.boxes}
        self.shares = {name: float(p) for name, p in settings.probabilities.items() if p > 0}
        if missing := sorted(self.shares.keys() - have):
            raise UserError(missing_source(missing[0], self.shares[missing[0]]))
        if not self.shares:
            raise UserError("clip probabilities: all are 0; set one above it, such as data.probabilities.photo=1")

    def changed(self, **settings: Any) -> TrainingClips:
        """The same sources (and their cache) under other settings: probabilities, frames, size, seed, ..."""
        kept = replace(self.settings, **settings)
        return TrainingClips(
            kept,
            photos=self.photos,
            videos=self.videos,
            extra=self.extra,
            counts=self.counts,
            boxes=self.boxes,
            supervision=self.supervision,
        )

    @property
    def known(self) -> Literal["masks", "boxes", "either"]:
        """What is known of the objects of a clip."""
        extra = any(name in self.extra for name in self.shares)
        masks = self.photos is not None or self.videos or extra and self.supervision == "masks"
        if self.boxes or extra and self.supervision == "boxes":
            return "either" if masks else "boxes"
        return "masks"

    def __len__(self) -> int:
        return self.settings.length

    def __getitem__(self, index: int) -> TrainingClip:
        if index < 0:
            raise IndexError(index)
        rng, size = np.random.default_rng([self.settings.seed, index]), self.settings.size_of(index)
        for _ in range(TRIES):
            scene, kind = self.scene(draw(rng, self.shares), rng, size, index)
            if isinstance(scene, BoxScene):
                if clip := self._boxed(scene, kind, rng):
                    return clip
                continue
            if rng.random() < 0.5:
                scene.frames, scene.labels = scene.frames[::-1], scene.labels[::-1]
            targets = choose_targets(scene, rng, self.settings.max_objects, self.settings.least_share)
            if targets:
                frames, labels = degrade(scene.frames, rng), np.ascontiguousarray(scene.labels)
                drawn = prompt_clip(rng, labels, targets, self.settings)
                return TrainingClip(frames, labels, targets, scene.complete, kind, *drawn)
        raise UserError(f"training clips: {TRIES} clips drawn, none with an object on its first frame")

    def _boxed(self, scene: BoxScene, kind: str, rng: np.random.Generator) -> TrainingClip | None:
        """A clip of which boxes are known; None without an object on its first frame."""
        settings, size = self.settings, scene.frames.shape[1]
        if rng.random() < 0.5:
            scene.frames, scene.boxes = scene.frames[::-1], scene.boxes[:, ::-1]
        targets = choose_boxed(scene.boxes[:, 0], rng, settings.max_objects, settings.least_share * size**2)
        if not targets:
            return None
        draws, length = settings.prompts, len(scene.frames)
        first = draw_box_prompts(rng, scene.boxes[:, 0], targets, draws.first, settings.max_objects, size)
        anew = []
        for index in spread(length, draws.frames):
            now = scene.boxes[:, index]
            chosen = choose_boxed(now, rng, draws.objects, LEAST_LISTED, several=False)
            anew.append(draw_box_prompts(rng, now, chosen, draws.anew, draws.objects, size))
        unknown = np.full(scene.frames.shape[:3], IGNORE, np.uint8)
        boxes = np.ascontiguousarray(scene.boxes)
        return TrainingClip(
            degrade(scene.frames, rng), unknown, targets, scene.complete, kind, first, tuple(anew), boxes
        )

    def _by_box(self, kind: str, rng: np.random.Generator) -> BoxSource | None:
        """A source of boxes, as often as its weight among those of its kind; None for one with masks."""
        boxed: dict[BoxSource | None, float] = {one: one.weight for one in self.boxes if one.sort == kind}
        if not boxed:
            return None
        others = {"video": sum(one.weight for one in self.videos), "photo": self.photos.weight if self.photos else 0.0}
        return draw(rng, {**boxed, None: others[kind]})

    def scene(self, kind: str, rng: np.random.Generator, size: int, index: int) -> tuple[Scene | BoxScene, str]:
        """A scene of one kind (with its finer name), before time reversal and colour changes."""
        frames, growth = self.settings.frames, self.settings.growth
        if source := self._by_box(kind, rng):
            video = source.videos[int(rng.integers(len(source.videos)))]
            return box_scene(
                video, rng, frames, size, gaps=growth.gaps(source.gaps, index) if growth else source.gaps
            ), kind
        if kind == "photo" and self.photos is not None:
            if rng.random() < self.settings.composite_share:
                return composite_scene(self.photos, rng, frames, size), "composite"
            return static_scene(self.photos, rng, frames, size, self.settings.whole_share), "static"
        if kind == "video":
            chosen = draw(rng, {source: source.weight for source in self.videos})
            labelled = chosen.sequences[int(rng.integers(len(chosen.sequences)))]
            gaps = growth.gaps(chosen.gaps, index) if growth else chosen.gaps
            return video_scene(labelled, rng, frames, size, gaps=gaps, pool=self.photos), kind
        samples = self.extra[kind]
        sample = SampleVideo(samples[int(rng.integers(len(samples)))])
        if self.supervision == "boxes":
            return box_scene(BoxesOfLabels(sample), rng, frames, size, gaps=(1, 2)), kind
        return video_scene(sample, rng, frames, size, gaps=(1, 2), pool=None), kind


def draw(rng: np.random.Generator, weights: Mapping[Choice, float]) -> Choice:
    """One of the keys, by its weight."""
    shares = np.array(list(weights.values()), float)
    return list(weights)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def choose_targets(scene: Scene, rng: np.random.Generator, most: int, least_share: float) -> tuple[int, ...]:
    """One to `most` ids seen on frame 0 with the share of the frame asked for; favoured and larger ones more often.

    Whatever is not chosen stays in the clip as a distractor.
    """
    ids, areas = object_areas(scene.labels[0], least_share * scene.labels[0].size)
    if not len(ids):
        return ()
    weights = np.sqrt(areas) * np.where(np.isin(ids, scene.favoured), 4.0, 1.0)
    count = min(len(ids), int(rng.integers(1, most + 1)))
    return tuple(int(i) for i in rng.choice(ids, size=count, replace=False, p=weights / weights.sum()))


def spread(length: int, count: int) -> list[int]:
    """`count` of the frames 0..length-1, first and last among them, evenly spread (fewer where there are fewer)."""
    return sorted({round(t) for t in np.linspace(0, length - 1, min(count, length))})


def prompt_clip(
    rng: np.random.Generator, labels: np.ndarray, targets: Sequence[int], settings: ClipSettings
) -> tuple[FramePrompts, tuple[FramePrompts, ...]]:
    """Prompts of the targets on frame 0 of labels T S S, and of any objects on the frames that are prompted anew."""
    draws = settings.prompts
    first = draw_prompts(rng, labels[0], targets, draws.first, settings.max_objects, draws.clicks)
    anew = []
    for index in spread(len(labels), draws.frames):
        ids, areas = object_areas(labels[index], LEAST_LISTED)
        # by size, not by count: uniform draws over the many small things of a photo teach that a click means a part
        weights = np.sqrt(areas) / np.sqrt(areas).sum() if len(ids) else None
        chosen = rng.choice(ids, size=min(len(ids), draws.objects), replace=False, p=weights) if len(ids) else ()
        anew.append(draw_prompts(rng, labels[index], [int(i) for i in chosen], draws.anew, draws.objects, draws.clicks))
    return first, tuple(anew)


def build_clips(
    sources: Sequence[Mapping[str, Any]],
    probabilities: Mapping[str, float],
    *,
    extra: Mapping[str, VideoSamples] | None = None,
    cache_bytes: int = 1_500_000_000,
    supervision: Supervision | None = "masks",
    **settings: Any,
) -> TrainingClips:
    """Training clips from a list of plain source descriptions; `settings` are those of ClipSettings.

    Each source has `kind`, optionally `weight` (default 1, among the photos or among the videos) and the arguments of
    its reader: photos (root, category, exclude), coco (root, exclude, complete), regions (images, labels), videos
    (root, exclude, image_set, complete, and `gaps`, default [1, 2] stored frames), set (a public set: name, root,
    split, exclude, and `gaps` if it has videos), pack (file: sources packed by `univs datasets pack`); of boxes alone
    coco_boxes, mot and csv (root, exclude, complete). `extra` are data sets of VideoSample by name. supervision: what
    is known of the objects of all sources that do not say it themselves; None: sources of boxes are refused. Raises
    UserError for an unknown kind, a wrong argument or missing files.
    """
    opened = open_sources(sources, READERS, supervision)
    chosen = ClipSettings(probabilities, **settings)
    return clips_of(opened, chosen, extra=extra, cache_bytes=cache_bytes, supervision=supervision or "masks")


def clips_of(
    opened: Sequence[OpenedSource],
    settings: ClipSettings,
    *,
    extra: Mapping[str, VideoSamples] | None = None,
    cache_bytes: int = 1_500_000_000,
    supervision: Supervision = "masks",
) -> TrainingClips:
    """Training clips from sources that have been opened: sequences of videos, and photos. Raises UserError as above."""
    photos: list[tuple[PhotoSource, float]] = []
    videos: list[VideoSource] = []
    boxes: list[BoxSource] = []
    counts: list[SourceCount] = []
    for one in opened:
        own, found, _ = one
        if own.supervision == "boxes":
            videos_of = Boxes(found)
            sort = videos_of.sort if len(found) else "video"
            counts.append(one.counted(sort))
            boxes.append(BoxSource(videos_of, sort, own.weight, own.gaps))
            continue
        counts.append(one.counted("video" if isinstance(found, Sequence) else "photo"))
        if isinstance(found, Sequence):
            videos.append(VideoSource(found, own.weight, own.gaps))
        else:
            photos.append((found, own.weight))
    pool = PhotoPool(photos, cache_bytes=cache_bytes) if any(weight > 0 for _, weight in photos) else None
    return TrainingClips(
        settings, photos=pool, videos=videos, extra=extra, counts=counts, boxes=boxes, supervision=supervision
    )
