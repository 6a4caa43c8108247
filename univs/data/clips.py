"""Training clips for video object segmentation: moving photos, real videos and synthetic worlds in one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from univs.data.appearance import degrade
from univs.data.coco_instances import CocoInstances
from univs.data.composites import Scene, composite_scene, static_scene
from univs.data.davis_folder import DavisFolder
from univs.data.photo import PhotoSource
from univs.data.photo_masks import PhotoMasks
from univs.data.photo_pool import PhotoPool, object_areas
from univs.data.public_sources import SetPhotos, open_set
from univs.data.region_labels import RegionLabels
from univs.data.sample import VideoSample
from univs.data.video_scenes import LabelledVideo, SampleVideo, video_scene
from univs.errors import UserError

PHOTO_SOURCES: dict[str, Any] = {"photos": PhotoMasks, "coco": CocoInstances, "regions": RegionLabels}
TRIES = 100
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


@dataclass(frozen=True)
class TrainingClip:
    """T frames of S x S pixels and the objects to follow from frame 0 on."""

    frames: np.ndarray  # T S S 3 uint8 RGB
    labels: np.ndarray  # T S S uint8: all labelled objects 1..254, 0 background, 255 ignore
    targets: tuple[int, ...]  # ids seen on frame 0, at least one
    complete: bool  # True: every object is labelled
    kind: str  # static, composite, video, or the name of an extra source


@dataclass(frozen=True)
class ClipSettings:
    """What clips to make."""

    probabilities: Mapping[str, float]  # of "photo", "video" and the names of extra sources; need not sum to one
    frames: int = 4
    size: int = 256  # pixels of a side
    max_objects: int = 2  # targets
    least_share: float = 0.003  # of frame 0, for a target
    composite_share: float = 0.65  # of the photo clips; the others are one warped photo
    seed: int = 0
    length: int = 1_000_000


class TrainingClips(Dataset[TrainingClip]):
    """An endless supply of clips: the clip of an index depends on index and seed alone, never on what came before."""

    def __init__(
        self,
        settings: ClipSettings,
        *,
        photos: PhotoPool | None = None,
        videos: Sequence[VideoSource] = (),
        extra: Mapping[str, VideoSamples] | None = None,
    ) -> None:
        """Raises UserError for a probability without its source."""
        self.settings = settings
        self.photos = photos
        self.videos = [source for source in videos if len(source.sequences) and source.weight > 0]
        self.extra = dict(extra or {})
        have = {*(["photo"] if photos else []), *(["video"] if self.videos else []), *self.extra}
        self.shares = {name: float(p) for name, p in settings.probabilities.items() if p > 0}
        missing = sorted(self.shares.keys() - have)
        if missing or not self.shares:
            raise UserError(f"clip probabilities: no source for {missing or 'any'}; there is {sorted(have) or 'none'}")

    def changed(self, **settings: Any) -> TrainingClips:
        """The same sources (and their cache) under other settings: probabilities, frames, size, seed, ..."""
        kept = replace(self.settings, **settings)
        return TrainingClips(kept, photos=self.photos, videos=self.videos, extra=self.extra)

    def __len__(self) -> int:
        return self.settings.length

    def __getitem__(self, index: int) -> TrainingClip:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = np.random.default_rng([self.settings.seed, index])
        for _ in range(TRIES):
            scene, kind = self.scene(draw(rng, self.shares), rng)
            if rng.random() < 0.5:
                scene.frames, scene.labels = scene.frames[::-1], scene.labels[::-1]
            targets = choose_targets(scene, rng, self.settings.max_objects, self.settings.least_share)
            if targets:
                frames = degrade(scene.frames, rng)
                return TrainingClip(frames, np.ascontiguousarray(scene.labels), targets, scene.complete, kind)
        raise UserError(f"training clips: {TRIES} clips drawn, none with an object on its first frame")

    def scene(self, kind: str, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene of one kind (with its finer name), before time reversal and colour changes."""
        frames, size = self.settings.frames, self.settings.size
        if kind == "photo" and self.photos is not None:
            if rng.random() < self.settings.composite_share:
                return composite_scene(self.photos, rng, frames, size), "composite"
            return static_scene(self.photos, rng, frames, size), "static"
        if kind == "video":
            source = draw(rng, {source: source.weight for source in self.videos})
            video = source.sequences[int(rng.integers(len(source.sequences)))]
            return video_scene(video, rng, frames, size, gaps=source.gaps, pool=self.photos), kind
        samples = self.extra[kind]
        video = SampleVideo(samples[int(rng.integers(len(samples)))])
        return video_scene(video, rng, frames, size, gaps=(1, 2), pool=None), kind


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


def build_clips(
    sources: Sequence[Mapping[str, Any]],
    probabilities: Mapping[str, float],
    *,
    extra: Mapping[str, VideoSamples] | None = None,
    cache_bytes: int = 1_500_000_000,
    **settings: Any,
) -> TrainingClips:
    """Training clips from a list of plain source descriptions; `settings` are those of ClipSettings.

    Each source has `kind`, optionally `weight` (default 1, among the photos or among the videos) and the arguments of
    its reader: photos (root, category, exclude), coco (root, exclude, complete), regions (images, labels), videos
    (root, exclude, image_set, complete, and `gaps`, default [1, 2] stored frames), set (a public set: name, root,
    split, exclude, and `gaps` if it has videos). `extra` are data sets of VideoSample by name. Raises UserError for an
    unknown kind, a wrong argument or missing files.
    """
    photos: list[tuple[PhotoSource, float]] = []
    videos: list[VideoSource] = []
    for source in sources:
        options = dict(source)
        kind, weight = options.pop("kind", None), float(options.pop("weight", 1.0))
        try:
            if kind in ("videos", "set"):
                low, high = options.pop("gaps", (1, 2))
                found = DavisFolder(**options).sequences if kind == "videos" else open_set(**options)
                if isinstance(found, SetPhotos):
                    photos.append((found, weight))
                else:
                    videos.append(VideoSource(found, weight, (int(low), int(high))))
            elif kind in PHOTO_SOURCES:
                photos.append((PHOTO_SOURCES[kind](**options), weight))
            else:
                known = ", ".join(("videos", "set", *PHOTO_SOURCES))
                raise UserError(f"data source of unknown kind {kind!r}: expected {known}")
        except TypeError as error:
            raise UserError(f"data source {dict(source)}: {error}") from error
    pool = PhotoPool(photos, cache_bytes=cache_bytes) if photos else None
    return TrainingClips(ClipSettings(probabilities, **settings), photos=pool, videos=videos, extra=extra)


def collate_clips(clips: Sequence[TrainingClip]) -> dict[str, Tensor]:
    """A batch: frames B T 3 S S uint8, labels B T S S uint8, targets B M int64 (0 padded), complete B bool."""
    most = max(len(clip.targets) for clip in clips)
    targets = [list(clip.targets) + [0] * (most - len(clip.targets)) for clip in clips]
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
    return {
        "frames": frames.permute(0, 1, 4, 2, 3).contiguous(),
        "labels": torch.from_numpy(np.stack([clip.labels for clip in clips])),
        "targets": torch.tensor(targets),
        "complete": torch.tensor([clip.complete for clip in clips]),
    }
