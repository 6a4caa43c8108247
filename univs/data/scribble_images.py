"""Training samples of scribbles: an object of a photo, a mask of it that is wrong, and strokes on what is wrong.

S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from univs.data.appearance import degrade
from univs.data.clips import READERS
from univs.data.mask_noise import perturb
from univs.data.photo import Photo, PhotoSource, shrink
from univs.data.photo_pool import PhotoPool, object_areas
from univs.data.scribble_drawing import draw_scribbles
from univs.data.source_settings import SourceCount, open_sources
from univs.data.video_scenes import LabelledVideo
from univs.data.warps import opencv
from univs.errors import UserError
from univs.formats.sample import IGNORE

TRIES = 20
TURN, SHEAR, SCALES = np.deg2rad(20), np.deg2rad(10), (0.8, 1.25)
IOUS = (0.4, 0.95)
"""Of an earlier mask with the true one."""
OTHER = 0.75
"""Share of the images with another object on which that one has to do with the earlier mask or the strokes."""
LEAST = 200
"""Pixels of an object in a crop."""


@dataclass(frozen=True)
class ScribbleImage:
    """image: S S 3 uint8. mask: S S uint8, 1 the object, 0 not, 255 unknown. maps: 3 S S uint8, 0 or 1: the mask so
    far, strokes on the object, strokes beside it."""

    image: np.ndarray
    mask: np.ndarray
    maps: np.ndarray


class VideoFrames:
    """The labelled frames of videos as photos (a `PhotoSource`)."""

    def __init__(self, name: str, videos: Sequence[LabelledVideo], longest: int) -> None:
        self.name, self._longest = name, longest
        self._frames = [(video, place) for video in videos for place in range(len(video.annotated))]

    def __len__(self) -> int:
        return len(self._frames)

    def nouns(self, index: int) -> frozenset[str]:
        """Not known."""
        return frozenset()

    def __getitem__(self, index: int) -> Photo:
        video, place = self._frames[index]
        return Photo(*shrink(*video.read(place), self._longest), complete=video.complete)


class ScribbleImages(Dataset[ScribbleImage]):
    """An endless supply; the sample of an index depends on index and seed alone.

    Args:
        photos: with labelled objects.
        size: S.
        first_rounds: share of the samples without a mask so far.
        seed: of the draws.
        counts: of what the sources hold, for who reports it.
    """

    def __init__(
        self,
        photos: PhotoPool,
        *,
        size: int,
        first_rounds: float,
        seed: int = 0,
        counts: Sequence[SourceCount] = (),
    ) -> None:
        self.photos, self.size, self.first_rounds, self.seed = photos, size, first_rounds, seed
        self.counts = tuple(counts)

    def __len__(self) -> int:
        return 100_000_000

    def __getitem__(self, index: int) -> ScribbleImage:
        rng = np.random.default_rng([self.seed, index])
        for _ in range(TRIES):
            image, labels = crop_photo(self.photos.draw_labelled(rng), rng, self.size)
            ids, areas = object_areas(labels, LEAST)
            if len(ids):
                weights = np.sqrt(areas)
                chosen = int(rng.choice(ids, p=weights / weights.sum()))
                return self._sample(degrade(image[None], rng)[0], labels, chosen, [i for i in ids if i != chosen], rng)
        raise UserError(f"training scribbles: {TRIES} crops drawn, none with an object of {LEAST} pixels")

    def _sample(
        self, image: np.ndarray, labels: np.ndarray, chosen: int, others: Sequence[int], rng: np.random.Generator
    ) -> ScribbleImage:
        mask, known = labels == chosen, labels != IGNORE
        before = np.zeros_like(mask)
        other = labels == int(rng.choice(others)) if len(others) and rng.random() < OTHER else None
        if rng.random() >= self.first_rounds:
            before = perturb(mask, rng, float(rng.uniform(*IOUS)))
            if other is not None and rng.random() < 0.5:
                before |= perturb(other, rng, float(rng.uniform(*IOUS)))
                other = None
        positive, negative = draw_scribbles(mask, before, known, rng)
        if other is not None and rng.random() < 0.5:  # what is drawn on the neighbour is drawn beside this one
            on_other, _ = draw_scribbles(other, np.zeros_like(before), known, rng)
            negative |= on_other
        truth = np.where(known, mask, IGNORE).astype(np.uint8)
        return ScribbleImage(image, truth, np.stack([before, positive, negative]).astype(np.uint8))


def crop_photo(
    photo: Photo, rng: np.random.Generator, size: int, scales: tuple[float, float] = SCALES
) -> tuple[np.ndarray, np.ndarray]:
    """A photo turned, sheared, scaled, perhaps mirrored, and cut to size x size; 255 is the label beyond its border.

    At scale 1 its shorter side fills the crop; the crop is centred near an object. scales: smallest and largest.
    """
    cv2 = opencv()
    height, width = photo.labels.shape
    ids, areas = object_areas(photo.labels, LEAST)
    rows, columns = np.nonzero(photo.labels == int(rng.choice(ids)) if len(ids) else np.ones_like(photo.labels))
    at = int(rng.integers(len(rows)))
    centre = np.array([columns[at], rows[at]], float)
    scale = size / min(height, width) * float(np.exp(rng.uniform(*np.log(scales))))
    turn, shear = rng.uniform(-TURN, TURN), np.tan(rng.uniform(-SHEAR, SHEAR))
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]]
    if rng.random() < 0.5:
        linear = linear * [[-1], [1]]
    half = np.array([width, height], float) * abs(scale) / 2
    # the crop stays in the photo where that is large enough
    room = np.maximum(half - size / 2, 0) / scale
    middle = np.array([width, height]) / 2
    centre = middle + np.clip(centre - middle, -room, room)
    matrix = np.concatenate([linear, (np.full(2, size / 2) - linear @ centre)[:, None]], axis=1)
    image = cv2.warpAffine(
        photo.image,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(124,) * 3,
    )
    labels = cv2.warpAffine(
        photo.labels, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORE
    )
    return image, labels


def collate_scribbles(images: Sequence[ScribbleImage]) -> dict[str, Any]:
    """A batch: frames B 3 S S uint8, masks B S S uint8 (255 unknown), maps B 3 S S uint8."""
    return {
        "frames": torch.from_numpy(np.stack([one.image for one in images])).permute(0, 3, 1, 2).contiguous(),
        "masks": torch.from_numpy(np.stack([one.mask for one in images])),
        "maps": torch.from_numpy(np.stack([one.maps for one in images])),
    }


def build_scribble_images(
    sources: Sequence[Mapping[str, Any]], *, size: int, first_rounds: float, seed: int = 0, longest: int = 480
) -> ScribbleImages:
    """Training samples from the sources of `build_clips`; of videos every labelled frame is a photo.

    longest: side of a video's frame, in pixels. Raises UserError as `build_clips` does.
    """
    photos: list[tuple[PhotoSource, float]] = []
    counts = []
    for own, found, name in open_sources(sources, READERS):
        source = VideoFrames(name, found, longest) if isinstance(found, Sequence) else found
        photos.append((source, own.weight))
        counts.append(SourceCount(name, "photo", len(source), own.weight if len(source) else 0.0))
    return ScribbleImages(PhotoPool(photos), size=size, first_rounds=first_rounds, seed=seed, counts=counts)
