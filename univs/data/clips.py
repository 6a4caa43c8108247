"""Training clips for video object segmentation: photos made to move, real videos and synthetic worlds in one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
from univs.data.region_labels import RegionLabels
from univs.data.sample import VideoSample
from univs.data.video_scenes import LabelledVideo, SampleVideo, video_scene
from univs.errors import UserError

PHOTO_SOURCES: dict[str, Any] = {"photos": PhotoMasks, "coco": CocoInstances, "regions": RegionLabels}


class VideoSamples(Protocol):
    """A map-style data set of videos, such as SynthVS."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> VideoSample: ...


@dataclass(frozen=True)
class TrainingClip:
    """T frames of S x S pixels and the objects to follow from frame 0 on."""

    frames: np.ndarray  # T S S 3 uint8 RGB
    labels: np.ndarray  # T S S uint8: all labelled objects 1..254, 0 background, 255 ignore
    targets: tuple[int, ...]  # ids seen on frame 0, at least one
    complete: bool  # True: every object is labelled
    kind: str  # static, composite, video, or the name of an extra source


class TrainingClips(Dataset[TrainingClip]):
    """An endless supply of clips: the clip of an index depends on index and seed alone, never on what came before."""

    def __init__(
        self,
        *,
        photos: PhotoPool | None,
        videos: Sequence[tuple[Sequence[LabelledVideo], float, tuple[int, int]]] = (),
        extra: Mapping[str, VideoSamples] | None = None,
        probabilities: Mapping[str, float],
        frames: int = 4,
        size: int = 256,
        max_objects: int = 2,
        least_share: float = 0.003,
        composite_share: float = 0.65,
        seed: int = 0,
        length: int = 1_000_000,
    ) -> None:
        """`videos` are (sequences, weight, gaps from..to); `probabilities` are of "photo", "video" and the names in `extra`.

        A target covers at least `least_share` of frame 0. Raises UserError for a probability without its source.
        """
        self.photos = photos
        self.videos = [(v, w, g) for v, w, g in videos if len(v) and w > 0]
        self.extra = dict(extra or {})
        have = {*(["photo"] if photos else []), *(["video"] if self.videos else []), *self.extra}
        self.probabilities = {name: float(p) for name, p in probabilities.items() if p > 0}
        missing = sorted(self.probabilities.keys() - have)
        if missing or not self.probabilities:
            raise UserError(f"clip probabilities: no source for {missing or 'any'}; there is {sorted(have) or 'none'}")
        self.frames, self.size, self.max_objects = frames, size, max_objects
        self.least_share, self.composite_share = least_share, composite_share
        self.seed, self.length = seed, length

    def changed(self, **settings: Any) -> TrainingClips:
        """The same sources (and their cache) with other settings: probabilities, frames, size, seed, max_objects, ..."""
        kept = dict(
            photos=self.photos,
            videos=self.videos,
            extra=self.extra,
            probabilities=self.probabilities,
            frames=self.frames,
            size=self.size,
            max_objects=self.max_objects,
            least_share=self.least_share,
            composite_share=self.composite_share,
            seed=self.seed,
            length=self.length,
        )
        return TrainingClips(**{**kept, **settings})

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> TrainingClip:
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        while True:
            names = list(self.probabilities)
            shares = np.array([self.probabilities[name] for name in names])
            kind = str(rng.choice(names, p=shares / shares.sum()))
            scene, kind = self.scene(kind, rng)
            if rng.random() < 0.5:
                scene.frames, scene.labels = scene.frames[::-1], scene.labels[::-1]
            targets = choose_targets(scene, rng, self.max_objects, self.least_share)
            if targets:
                frames = degrade(scene.frames, rng)
                return TrainingClip(frames, np.ascontiguousarray(scene.labels), targets, scene.complete, kind)

    def scene(self, kind: str, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene of one kind (with its finer name), before time reversal and colour changes."""
        if kind == "photo" and self.photos is not None:
            if rng.random() < self.composite_share:
                return composite_scene(self.photos, rng, self.frames, self.size), "composite"
            return static_scene(self.photos, rng, self.frames, self.size), "static"
        if kind == "video":
            weights = np.array([weight for _, weight, _ in self.videos])
            sequences, _, gaps = self.videos[int(rng.choice(len(self.videos), p=weights / weights.sum()))]
            video = sequences[int(rng.integers(len(sequences)))]
            return video_scene(video, rng, self.frames, self.size, gaps=gaps, pool=self.photos), kind
        samples = self.extra[kind]
        video = SampleVideo(samples[int(rng.integers(len(samples)))])
        return video_scene(video, rng, self.frames, self.size, gaps=(1, 2), pool=None), kind


def choose_targets(scene: Scene, rng: np.random.Generator, most: int, least_share: float) -> tuple[int, ...]:
    """Up to `most` ids seen on frame 0 with the share of the frame asked for; favoured and larger ones more often."""
    ids, areas = object_areas(scene.labels[0], least_share * scene.labels[0].size)
    if not len(ids):
        return ()
    weights = np.sqrt(areas) * np.where(np.isin(ids, scene.favoured), 4.0, 1.0)
    count = min(len(ids), most if rng.random() < 0.65 else int(rng.integers(1, most + 1)))
    return tuple(int(i) for i in rng.choice(ids, size=count, replace=False, p=weights / weights.sum()))


def build_clips(
    sources: Sequence[Mapping[str, Any]],
    probabilities: Mapping[str, float],
    *,
    extra: Mapping[str, VideoSamples] | None = None,
    cache_bytes: int = 1_500_000_000,
    **settings: Any,
) -> TrainingClips:
    """Training clips from a list of plain source descriptions; `settings` are those of TrainingClips.

    Each source has `kind`, optionally `weight` (default 1, among the photos or among the videos) and the arguments of its
    reader: photos (root, category, exclude), coco (root, exclude, complete), regions (images, labels), videos (root,
    exclude, image_set, complete, and `gaps`, default [1, 2] stored frames). Raises UserError for an unknown kind, a wrong
    argument or missing files.
    """
    photos: list[tuple[PhotoSource, float]] = []
    videos: list[tuple[DavisFolder, float, tuple[int, int]]] = []
    for source in sources:
        options = dict(source)
        kind, weight = options.pop("kind", None), float(options.pop("weight", 1.0))
        try:
            if kind == "videos":
                low, high = options.pop("gaps", (1, 2))
                videos.append((DavisFolder(**options), weight, (int(low), int(high))))
            elif kind in PHOTO_SOURCES:
                photos.append((PHOTO_SOURCES[kind](**options), weight))
            else:
                raise UserError(f"data source of unknown kind {kind!r}: expected videos, {', '.join(PHOTO_SOURCES)}")
        except TypeError as error:
            raise UserError(f"data source {dict(source)}: {error}") from error
    pool = PhotoPool(photos, cache_bytes=cache_bytes) if photos else None
    return TrainingClips(photos=pool, videos=videos, extra=extra, probabilities=probabilities, **settings)


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
