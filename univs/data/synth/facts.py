"""What can be said about the things of one clip: how large, where and how they move, measured on what is seen of them.

Shapes: N things that are seen (rows, in the order of their ids), T frames. Lengths are in pixels of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univs.data.synth.scene import Scene


@dataclass(frozen=True)
class Facts:
    """The things of a clip in numbers. Where a thing is not seen, `middle` is NaN."""

    size: tuple[int, int]  # H W of the frames
    ids: tuple[int, ...]
    area: np.ndarray  # N T: pixels that are seen
    middle: np.ndarray  # N T 2: x y of the middle of what is seen
    place: np.ndarray  # N T 2: x y of the thing's own middle, hidden or not
    world: np.ndarray  # N T 2: `place` on the background, which the camera does not move
    length: np.ndarray  # N T: the thing's longer side as it is drawn
    own_length: np.ndarray  # N T: the same without the camera's zoom
    depth: np.ndarray  # N T: larger is nearer
    contact: np.ndarray  # N N T: pixels at which one meets the other, side by side or one above the other

    @property
    def seen(self) -> np.ndarray:
        """N T bool: is anything of it seen."""
        return self.area > 0


def measure(scene: Scene, labels: np.ndarray) -> Facts:
    """The facts of a scene whose label maps (T H W uint8) have been drawn."""
    count = np.stack([np.bincount(frame.reshape(-1), minlength=256) for frame in labels], 1)
    ids = tuple(int(i) for i in np.flatnonzero(count.sum(1)) if i)
    things = {thing.number: thing for thing in scene.things}
    chosen = [things[i] for i in ids]
    frames = len(labels)
    place = np.stack([thing.places[:frames] for thing in chosen]) if ids else np.zeros((0, frames, 2))
    own_length = np.array([thing.motion.size[:frames] * scene.size[0] for thing in chosen]).reshape(len(ids), frames)
    return Facts(
        size=scene.size,
        ids=ids,
        area=count[list(ids)],
        middle=_middles(labels, count, ids),
        place=place,
        world=_on_background(scene, place),
        length=own_length * (scene.camera.rest_zoom / scene.camera.zoom[:frames]),
        own_length=own_length,
        depth=np.array([thing.motion.depth[:frames] for thing in chosen]).reshape(len(ids), frames),
        contact=_contacts(labels, ids),
    )


def _middles(labels: np.ndarray, count: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    middles = np.full((256, len(labels), 2), np.nan)
    width = labels.shape[2]
    for t, frame in enumerate(labels):
        pixels = np.flatnonzero(frame)
        numbers = frame.reshape(-1)[pixels]
        y, x = np.divmod(pixels, width)
        with np.errstate(invalid="ignore"):
            for axis, values in enumerate((x, y)):
                middles[:, t, axis] = np.bincount(numbers, values, minlength=256) / count[:, t] + 0.5
    middles[count == 0] = np.nan
    return middles[list(ids)]


def _on_background(scene: Scene, place: np.ndarray) -> np.ndarray:
    camera, frames = scene.camera, place.shape[1]
    height, width = scene.size
    x, y = place[..., 0] - width / 2, place[..., 1] - height / 2
    cosine, sine = np.cos(camera.angle[:frames]), np.sin(camera.angle[:frames])
    turned = np.stack([x * cosine - y * sine, x * sine + y * cosine], -1)
    return turned * (camera.zoom[:frames, None] / camera.rest_zoom) + camera.centre[:frames] / camera.rest_zoom


def _contacts(labels: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    row = np.full(256, len(ids))  # what is no thing gets a last row of its own, which is dropped in the end
    row[list(ids)] = np.arange(len(ids))
    rows = len(ids) + 1
    contact = np.zeros((len(labels), rows * rows), np.int64)
    for t, frame in enumerate(labels):
        flat, width = frame.reshape(-1), frame.shape[1]
        for step in (1, width):
            edge = np.flatnonzero(flat[:-step] != flat[step:])
            if step == 1:
                edge = edge[edge % width != width - 1]
            contact[t] += np.bincount(row[flat[edge]] * rows + row[flat[edge + step]], minlength=rows * rows)
    square = contact.reshape(-1, rows, rows)[:, :-1, :-1]
    return np.moveaxis(square + square.transpose(0, 2, 1), 0, 2)
