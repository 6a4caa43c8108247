"""Clips cut out of labelled videos, at times with more objects pasted on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from univs.data.composites import Actor, Scene, add_actors, cast_from_pool
from univs.data.cutouts import CutOut, cut_out
from univs.data.photo_pool import MOST_BORDER, PhotoPool, object_areas
from univs.data.warps import Motion, opencv, pace, smooth_curve
from univs.formats.sample import VideoSample


class LabelledVideo(Protocol):
    """Frames with labels: a `Recording`, for one."""

    @property
    def complete(self) -> bool: ...

    @property
    def annotated(self) -> Sequence[int]:
        """The frames that have labels."""
        ...

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame H W 3 uint8 and labels H W uint8, by the place in `annotated`."""
        ...


class SampleVideo:
    """A VideoSample as a LabelledVideo."""

    def __init__(self, sample: VideoSample) -> None:
        self.sample = sample
        self.complete, self.annotated = sample.complete, range(len(sample.frames))

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.sample.frames[index], self.sample.labels[index]


def video_scene(
    video: LabelledVideo,
    rng: np.random.Generator,
    frames: int,
    size: int,
    *,
    gaps: tuple[int, int],
    pool: PhotoPool | None,
) -> Scene:
    """Frames with a random gap (stored frames from..to, both included) and a random crop around one object.

    With a `pool`, a third of the clips gets look-alikes: moving copies of the object itself, or cut-outs of photos.
    """
    indices = pick_frames(rng, len(video.annotated), frames, gaps)
    pairs = [video.read(index) for index in indices]
    images, labels = crop_around_object(rng, pairs, size)
    if rng.random() < 0.5:
        images, labels = images[:, :, ::-1], labels[:, :, ::-1]
    scene = Scene(np.ascontiguousarray(images), np.ascontiguousarray(labels), video.complete)
    scene.favoured += [int(i) for i in object_areas(scene.labels[0], 1)[0]]
    if pool is not None and rng.random() < 0.35:
        actors = copy_of_object(rng, scene) if rng.random() < 0.6 else []
        if not actors or rng.random() < 0.2:
            actors += cast_from_pool(pool, rng, frames, size, int(rng.integers(1, 3)))
        add_actors(scene, rng, actors)
    return scene


def pick_frames(rng: np.random.Generator, length: int, frames: int, gaps: tuple[int, int]) -> list[int]:
    """Indices of a clip; videos too short for the smallest gap are read to the end and back again."""
    gap = int(rng.integers(gaps[0], gaps[1] + 1))
    while gap > 1 and (frames - 1) * gap >= length:
        gap -= 1
    start = int(rng.integers(max(length - (frames - 1) * gap, 1)))
    period = max(2 * (length - 1), 1)
    steps = (start + gap * np.arange(frames)) % period
    return [int(i) for i in np.where(steps < length, steps, period - steps)]


def crop_around_object(
    rng: np.random.Generator, pairs: list[tuple[np.ndarray, np.ndarray]], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same crop of all frames, T S S 3 and T S S: it holds the centre of an object of the first or last frame."""
    cv2 = opencv()
    height, width = pairs[0][1].shape
    first = pairs[0][1] if rng.random() < 0.5 else pairs[-1][1]
    ids, areas = object_areas(first, 20)
    short = min(height, width)
    if len(ids):
        ys, xs = np.nonzero(first == int(rng.choice(ids, p=np.sqrt(areas) / np.sqrt(areas).sum())))
        extent = max(np.ptp(xs), np.ptp(ys)) * rng.uniform(0.8, 2.5)
        centre = np.array([xs.mean(), ys.mean()])
    else:
        extent, centre = short, np.array([width, height]) / 2
    down = float(np.clip(max(extent, rng.uniform(0.45, 1.0) * short), 0.4 * short, height))
    across = float(np.clip(down * np.exp(rng.uniform(-0.1, 0.35)), 0.4 * short, width))
    centre = centre + rng.uniform(-0.35, 0.35, 2) * (across, down)
    x0 = round(float(np.clip(centre[0] - across / 2, 0, width - across)))
    y0 = round(float(np.clip(centre[1] - down / 2, 0, height - down)))
    window = np.s_[y0 : y0 + max(int(down), 1), x0 : x0 + max(int(across), 1)]
    how = cv2.INTER_AREA if down > size else cv2.INTER_LINEAR
    images = [cv2.resize(image[window], (size, size), interpolation=how) for image, _ in pairs]
    labels = [cv2.resize(label[window], (size, size), interpolation=cv2.INTER_NEAREST_EXACT) for _, label in pairs]
    return np.stack(images), np.stack(labels)


def copy_of_object(rng: np.random.Generator, scene: Scene) -> list[Actor]:
    """An actor made of an object's own views, displaced: a look-alike that moves as the object does."""
    frames, size = scene.labels.shape[:2]
    ids, _ = object_areas(scene.labels[0], 0.003 * size**2)
    if not len(ids):
        return []
    chosen = int(rng.choice(ids))
    cuts: list[CutOut | None] = []
    own = np.zeros((frames, 2))
    for index in range(frames):
        mask = scene.labels[index] == chosen
        rim = int(mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum())
        if rim > MOST_BORDER * 4 * np.sqrt(max(mask.sum(), 1)):
            return []
        if not mask.any():
            cuts.append(None)
            own[index] = own[index - 1]
            continue
        cuts.append(cut_out(scene.frames[index], mask))
        ys, xs = np.nonzero(mask)
        own[index] = (xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2
    if rng.random() < 0.3:
        cuts = cuts[::-1]
    place = rng.uniform(0.1, 0.9, 2) * size - own[0]
    drift = [smooth_curve(rng, frames, rng.normal(0, 0.1) * size * pace(frames)) for _ in range(2)]
    scale = np.exp(rng.normal(0, 0.12) + smooth_curve(rng, frames, rng.normal(0, 0.1)))
    still = np.zeros(frames)
    motion = Motion(own + place + np.stack(drift, 1), scale, still, still + 1, mirror=bool(rng.random() < 0.5))
    return [Actor(cuts, motion, None, still + 1, 0.0)]
