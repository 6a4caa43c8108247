"""Clips with boxes in place of masks: cut out of videos, and of photos over which the view moves.

The view is never turned or bent, so that what was a box stays one. Shapes: T frames, G objects, S pixels of a side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from univs.data.photo import PhotoSource
from univs.data.prompt_drawing import KINDS, FramePrompts, draw_kind, loosened, no_prompts
from univs.data.video_scenes import LabelledVideo, pick_frames
from univs.data.warps import opencv, pace
from univs.formats.boxes import Box, FrameBoxes, tight_boxes
from univs.formats.recording import Recording

MOST_OBJECTS = 24
"""Of a clip, the largest ones."""
LEAST_SEEN = 0.1
"""Share of a box that must lie in the view; objects of which less does are taken for gone."""
LEAST_SIDE = 3.0
"""Pixels of a box that is seen."""
BY_BOX = ("box", "point")
"""Kinds of prompts that a box alone can give."""


class BoxedVideo(Protocol):
    """Frames with boxes."""

    @property
    def complete(self) -> bool: ...

    @property
    def annotated(self) -> Sequence[int]:
        """The frames that have boxes."""
        ...

    def read_boxes(self, index: int) -> tuple[np.ndarray, FrameBoxes]:
        """Frame H W 3 uint8 and its boxes, by the place in `annotated`."""
        ...


@dataclass(frozen=True)
class BoxedRecording:
    """A recording; its masks are read only where it has no boxes of its own."""

    recording: Recording

    @property
    def complete(self) -> bool:
        return self.recording.complete

    @property
    def annotated(self) -> Sequence[int]:
        return self.recording.annotated

    def read_boxes(self, index: int) -> tuple[np.ndarray, FrameBoxes]:
        place = self.recording.annotated[index]
        return self.recording.frame(place), self.recording.boxes_of(place)


@dataclass(frozen=True)
class BoxesOfLabels:
    """The tight boxes of what is labelled."""

    video: LabelledVideo

    @property
    def complete(self) -> bool:
        return self.video.complete

    @property
    def annotated(self) -> Sequence[int]:
        return self.video.annotated

    def read_boxes(self, index: int) -> tuple[np.ndarray, FrameBoxes]:
        image, labels = self.video.read(index)
        return image, tight_boxes(labels)


@dataclass(frozen=True)
class BoxesOfPhoto:
    """A photo with the tight boxes of what is labelled on it."""

    photos: PhotoSource
    index: int
    annotated: Sequence[int] = (0,)

    @property
    def complete(self) -> bool:
        return self.photos[self.index].complete

    def read_boxes(self, index: int) -> tuple[np.ndarray, FrameBoxes]:
        photo = self.photos[self.index]
        return photo.image, tight_boxes(photo.labels)


@dataclass(frozen=True)
class Boxes(Sequence[BoxedVideo]):
    """What a reader opened, video by video or photo by photo, with boxes."""

    source: Sequence[LabelledVideo] | PhotoSource

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> BoxedVideo:  # type: ignore[override]
        if not isinstance(self.source, Sequence):
            return BoxesOfPhoto(self.source, index)
        video = self.source[index]
        return BoxedRecording(video) if isinstance(video, Recording) else BoxesOfLabels(video)

    @property
    def sort(self) -> str:
        """photo or video; a video whose boxes are all of one frame may stand among others."""
        several = isinstance(self.source, Sequence) and any(len(self[i].annotated) > 1 for i in range(len(self)))
        return "video" if several else "photo"


@dataclass
class BoxScene:
    """A clip in the making."""

    frames: np.ndarray
    """T S S 3 uint8."""
    boxes: np.ndarray
    """G T 4 float32, x0 y0 x1 y1 in pixels of the clip, of objects 1..G; zeros where one is not seen."""
    complete: bool


def box_scene(
    video: BoxedVideo, rng: np.random.Generator, frames: int, size: int, *, gaps: tuple[int, int]
) -> BoxScene:
    """Frames with a random gap and one view around an object; of a photo, frames with a view that moves and zooms."""
    cv2 = opencv()
    if len(video.annotated) > 1:
        read = [video.read_boxes(index) for index in pick_frames(rng, len(video.annotated), frames, gaps)]
        views = [draw_view(rng, read[0 if rng.random() < 0.5 else -1])] * frames
    else:
        read = [video.read_boxes(0)] * frames
        views = moving_views(rng, draw_view(rng, read[0]), frames, read[0][0].shape[:2])
    mirrored = rng.random() < 0.5
    ids = _largest([boxes for _, boxes in read])
    images, boxes = [], np.zeros((len(ids), frames, 4), np.float32)
    for t, ((image, given), (x0, y0, x1, y1)) in enumerate(zip(read, views, strict=True)):
        how = cv2.INTER_AREA if y1 - y0 > size else cv2.INTER_LINEAR
        small = cv2.resize(image[y0:y1, x0:x1], (size, size), interpolation=how)
        images.append(small[:, ::-1] if mirrored else small)
        for row, number in enumerate(ids):
            if number in given:
                boxes[row, t] = seen_box(given[number], (x0, y0, x1, y1), size, mirrored)
    complete = video.complete and len(ids) < MOST_OBJECTS
    return BoxScene(np.ascontiguousarray(np.stack(images)), boxes, complete)


def _largest(frames: Sequence[FrameBoxes]) -> list[int]:
    """Ids of the largest objects on any of the frames, ascending."""
    areas: dict[int, float] = {}
    for boxes in frames:
        for number, box in boxes.items():
            areas[number] = max(areas.get(number, 0.0), area_of(box))
    return sorted(sorted(areas, key=lambda number: -areas[number])[:MOST_OBJECTS])


def area_of(box: Sequence[float]) -> float:
    """Pixels of a box."""
    return float((box[2] - box[0]) * (box[3] - box[1]))


def draw_view(rng: np.random.Generator, read: tuple[np.ndarray, FrameBoxes]) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of a part of a frame that holds the middle of an object, larger ones more often; whole pixels."""
    image, boxes = read
    height, width = image.shape[:2]
    short = min(height, width)
    if boxes:
        weights = np.sqrt([area_of(box) for box in boxes.values()])
        box = list(boxes.values())[int(rng.choice(len(boxes), p=weights / weights.sum()))]
        extent = max(box[2] - box[0], box[3] - box[1]) * rng.uniform(1.1, 2.8)
        centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    else:
        extent, centre = short, np.array([width, height]) / 2
    down = float(np.clip(max(extent, rng.uniform(0.45, 1.0) * short), 0.4 * short, height))
    across = float(np.clip(down * np.exp(rng.uniform(-0.1, 0.35)), 0.4 * short, width))
    x, y = centre + rng.uniform(-0.25, 0.25, 2) * (across, down)
    return whole_view(x, y, across, down, (height, width))


def whole_view(x: float, y: float, across: float, down: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A view around (x, y), moved so that it lies in a frame of H W pixels; whole pixels, one at least."""
    height, width = size
    across, down = min(max(round(across), 1), width), min(max(round(down), 1), height)
    x0 = round(float(np.clip(x - across / 2, 0, width - across)))
    y0 = round(float(np.clip(y - down / 2, 0, height - down)))
    return x0, y0, x0 + int(across), y0 + int(down)


def moving_views(
    rng: np.random.Generator, first: tuple[int, int, int, int], frames: int, size: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Views that lead evenly from the first one to another that is somewhat farther and larger or smaller."""
    x0, y0, x1, y1 = first
    across, down = x1 - x0, y1 - y0
    way = rng.normal(0, 0.12, 2) * (across, down) * pace(frames)
    growth = rng.normal(0, 0.15) * pace(frames)
    return [
        whole_view(
            (x0 + x1) / 2 + share * way[0],
            (y0 + y1) / 2 + share * way[1],
            across * np.exp(share * growth),
            down * np.exp(share * growth),
            size,
        )
        for share in np.linspace(0, 1, frames)
    ]


def seen_box(box: Box, view: tuple[int, int, int, int], size: int, mirrored: bool) -> np.ndarray:
    """A box of the frame in pixels of a view that is shown S x S, cut at its sides; zeros where too little is seen."""
    x0, y0, x1, y1 = view
    scale = np.array([size / (x1 - x0), size / (y1 - y0)] * 2)
    moved = (np.array(box) - (x0, y0, x0, y0)) * scale
    if mirrored:
        moved = np.array([size - moved[2], moved[1], size - moved[0], moved[3]])
    cut = np.clip(moved, 0, size)
    too_thin = min(cut[2] - cut[0], cut[3] - cut[1]) < LEAST_SIDE
    if too_thin or area_of(cut) < LEAST_SEEN * area_of(moved):
        return np.zeros(4, np.float32)
    return cut.astype(np.float32)


def choose_boxed(
    boxes: np.ndarray, rng: np.random.Generator, most: int, least: float, several: bool = True
) -> tuple[int, ...]:
    """Up to `most` of the objects with boxes G 4 of at least `least` pixels, larger ones more often: their ids, 1..G.

    several: the number is drawn, from 1; else as many as there are.
    """
    areas = np.array([area_of(box) for box in boxes])
    ids = np.flatnonzero(areas >= max(least, 1.0))
    if not len(ids):
        return ()
    weights = np.sqrt(areas[ids])
    count = min(len(ids), int(rng.integers(1, most + 1)) if several else most)
    chosen = rng.choice(ids, size=count, replace=False, p=weights / weights.sum())
    return tuple(int(place) + 1 for place in chosen)


def draw_box_prompts(
    rng: np.random.Generator,
    boxes: np.ndarray,
    ids: Sequence[int],
    shares: Mapping[str, float],
    rows: int,
    size: int,
) -> FramePrompts:
    """Prompts for objects of a frame of S x S pixels of which boxes alone are known: boxes, and clicks near the middle.

    Args:
        boxes: G 4, of objects 1..G, zeros where one is not seen: it gets no prompt.
        ids: at most `rows` objects.
        shares: of the kinds; those that take a mask are given as boxes.
        rows: K.
    """
    prompts = no_prompts(rows, (size, size))
    for row, number in enumerate(ids):
        box = boxes[number - 1]
        if not area_of(box):
            continue
        prompts.ids[row] = number
        drawn = draw_kind(rng, shares)
        kind = drawn if drawn in BY_BOX else "box"
        prompts.kinds[row] = KINDS.index(kind)
        if kind == "box":
            prompts.boxes[row] = loosened(rng, box, (size, size))
        else:
            place = (box[:2] + box[2:]) / 2 + rng.uniform(-0.15, 0.15, 2) * (box[2:] - box[:2])
            prompts.points[row, 0] = np.clip(np.floor(place), 0, size - 1) + 0.5
            prompts.signs[row, 0] = 1
    return prompts
