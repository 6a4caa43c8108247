"""Clips made of photos: a photo warped as a whole, and photos with cut-out objects moving over them.

What static-image training of video object segmentation has done since STM (Oh et al. 2019, section 3.3), with smooth
paths in place of independent warps, with look-alikes, fast growth and objects that leave and come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from univs.data.appearance import colour_matrix, recolour
from univs.data.cutouts import CutOut, cut_out, paste
from univs.data.photo import Photo
from univs.data.photo_pool import LEAST_OBJECT, PhotoPool, cuttable, object_areas
from univs.data.warps import Motion, opencv, pace, smooth_curve, smooth_field, source_map
from univs.formats.sample import IGNORE


@dataclass
class Scene:
    """A clip in the making: T frames of S x S pixels."""

    frames: np.ndarray  # T S S 3 uint8
    labels: np.ndarray  # T S S uint8
    complete: bool
    favoured: list[int] = field(default_factory=list)  # ids that should be targets rather than others


@dataclass(frozen=True)
class Actor:
    """An object to be pasted along a path."""

    cuts: Sequence[CutOut | None]  # one for each frame (all the same, or an object's own views)
    motion: Motion
    bend: np.ndarray | None  # T G G 2 in cut-out pixels
    opacity: np.ndarray  # T
    shutter: float  # share of the way to the next frame seen as motion blur


def static_scene(pool: PhotoPool, rng: np.random.Generator, frames: int, size: int, whole: float = 0.0) -> Scene:
    """One photo under a smooth path and a smooth bending field, looking at one of its objects.

    whole: share of the scenes that show all of the photo instead, as large as a person has it who asks about it.
    """
    photo = pool.draw_labelled(rng)
    ids, areas = object_areas(photo.labels, LEAST_OBJECT)
    chosen = int(rng.choice(ids, p=np.sqrt(areas) / np.sqrt(areas).sum()))
    ys, xs = np.nonzero(photo.labels == chosen)
    extent = max(np.ptp(xs), np.ptp(ys)) * np.exp(rng.uniform(np.log(1.0), np.log(3.0)))
    focus = (float(xs.mean() + rng.normal(0, 0.1) * extent), float(ys.mean() + rng.normal(0, 0.1) * extent))
    if whole and rng.random() < whole:  # `moving_view` does not look beyond the photo
        extent = max(photo.labels.shape)
    bending = rng.uniform(0.005, 0.05)
    scene = moving_view(photo, rng, frames, size, focus, float(extent), bending, liveliness=1.3)
    scene.favoured.append(chosen)
    return scene


def composite_scene(pool: PhotoPool, rng: np.random.Generator, frames: int, size: int) -> Scene:
    """A photo as moving background and one to three cut-out objects on their own paths, look-alikes among them."""
    photo = pool.draw(rng)
    height, width = photo.labels.shape
    extent = rng.uniform(0.45, 1.1) * min(height, width)
    focus = (rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height)
    bending = rng.uniform(0, 0.02)
    scene = moving_view(photo, rng, frames, size, focus, float(extent), bending, liveliness=1.0)
    own = cuttable(photo.labels)
    actors: list[Actor] = []
    if own and rng.random() < 0.3:  # a copy of what stands in the background already
        chosen = int(rng.choice(own))
        copy = cut_out(photo.image, photo.labels == chosen)
        actors += cast_actors(rng, frames, size, [copy], twins=rng.random() < 0.3)
        scene.favoured.append(chosen)
    wanted = int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25])) - len(actors)
    if wanted > 0:
        actors += cast_from_pool(pool, rng, frames, size, wanted)
    add_actors(scene, rng, actors)
    return scene


def cast_from_pool(pool: PhotoPool, rng: np.random.Generator, frames: int, size: int, wanted: int) -> list[Actor]:
    """Actors from any photos: often the same object twice, often others of the same category."""
    photo, chosen = pool.draw_object(rng)
    cuts = [cut_out(photo.image, photo.labels == chosen, rng.uniform(0.5, 1.1))]
    twins = rng.random() < 0.45
    category = photo.categories.get(chosen)
    while len(cuts) < wanted - twins:
        other, number = pool.draw_object(rng, category if rng.random() < 0.45 else None)
        cuts.append(cut_out(other.image, other.labels == number, rng.uniform(0.5, 1.1)))
    return cast_actors(rng, frames, size, cuts, twins)


def cast_actors(rng: np.random.Generator, frames: int, size: int, cuts: list[CutOut], twins: bool) -> list[Actor]:
    """A random path for every cut-out, and with `twins` a second actor that looks like the first, often close to it."""
    actors: list[Actor] = []
    for cut in cuts:
        extent = size * np.exp(rng.uniform(np.log(0.12), np.log(0.75)))
        actors.append(make_actor(rng, frames, size, cut, rng.uniform(0.08, 0.92, 2) * size, float(extent)))
    if twins:
        first, cut = actors[0], cuts[0]
        own_size = float(first.motion.scale[0] * np.sqrt(first.cuts[0].area)) if first.cuts[0] else size / 4
        extent = own_size * np.exp(rng.normal(0, 0.15))
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.6) * own_size
        beside = first.motion.centre[0] + distance * np.array([np.cos(angle), np.sin(angle)])
        if not (0 < beside).all() or not (beside < size).all() or rng.random() < 0.3:
            beside = rng.uniform(0.1, 0.9, 2) * size
        if rng.random() < 0.5:  # alike, not the same
            rgb = recolour(cut.rgba[..., :3], colour_matrix(rng, 0.35))
            cut = CutOut(np.dstack([rgb, cut.rgba[..., 3]]), cut.area)
        actors.append(make_actor(rng, frames, size, cut, beside, float(extent)))
    return actors


def make_actor(
    rng: np.random.Generator, frames: int, size: int, cut: CutOut, start: np.ndarray, extent: float
) -> Actor:
    """A cut-out of about `extent` pixels across at `start` (x, y), with a path, a bending field and perhaps a fade."""
    if rng.random() < 0.3:
        rgb = recolour(cut.rgba[..., :3], colour_matrix(rng, 0.6))
        cut = CutOut(np.dstack([rgb, cut.rgba[..., 3]]), cut.area)
    scale = min(extent / np.sqrt(cut.area), 2.5)
    speed = min(rng.exponential(0.13), 0.6) * size
    growth = rng.normal(0, 0.12)
    if rng.random() < 0.2:  # comes fast towards the camera, up to filling the frame
        growth = rng.uniform(np.log(1.5), np.log(3.5))
    growth = min(growth * pace(frames), np.log(1.5 * size / (scale * np.sqrt(cut.area))))
    motion = make_motion(rng, frames, np.asarray(start, float), float(scale), speed, float(growth), mirrored=0.5)
    if rng.random() < 0.12:  # out of sight and back
        direction = rng.normal(size=2)
        away = np.sin(np.pi * np.linspace(0, 1, frames) * rng.uniform(0.8, 1.2)).clip(0) * rng.uniform(0.6, 1.1) * size
        motion.centre[:] += away[:, None] * direction / np.linalg.norm(direction)
    largest = float(motion.scale.max())
    if largest < 0.6:
        smaller = cut.shrunk(largest * 1.3)
        motion.scale[:] *= np.sqrt(cut.area / max(smaller.area, 1))
        cut = smaller
    bend = smooth_field(rng, frames, rng.uniform(0.005, 0.06) * np.sqrt(cut.area)) if rng.random() < 0.85 else None
    opacity = np.ones(frames)
    if rng.random() < 0.07:
        opacity = np.clip(1 - np.abs(smooth_curve(rng, frames, rng.uniform(0.2, 0.6))), 0.4, 1)
    shutter = rng.uniform(0.2, 0.8) if rng.random() < 0.2 else 0.0
    return Actor([cut] * frames, motion, bend, opacity, float(shutter))


def make_motion(
    rng: np.random.Generator,
    frames: int,
    start: np.ndarray,
    scale: float,
    speed: float,
    growth: float,
    *,
    mirrored: float = 0.0,
    aspect: float | None = None,
) -> Motion:
    """A smooth path from `start`: about `speed` pixels far in four frames, log scale changing by `growth` in all."""
    heading = rng.uniform(0, 2 * np.pi)
    way = speed * pace(frames)
    wobble = 0.05 * speed * rng.random()
    centre = np.stack(
        [
            start[axis] + smooth_curve(rng, frames, way * direction, wobble)
            for axis, direction in enumerate((np.cos(heading), np.sin(heading)))
        ],
        axis=1,
    )
    turn = rng.normal(0, 0.07) if rng.random() < 0.8 else rng.uniform(-0.8, 0.8)
    rotation = rng.normal(0, 0.08) + smooth_curve(rng, frames, turn * pace(frames), 0.01 * rng.random())
    squeeze = rng.normal(0, 0.1) if aspect is None else np.log(aspect)
    widening = np.exp(squeeze + smooth_curve(rng, frames, rng.normal(0, 0.06) * pace(frames)))
    sizes = scale * np.exp(smooth_curve(rng, frames, growth, 0.01 * rng.random()))
    return Motion(centre, sizes, rotation, widening, mirror=bool(rng.random() < mirrored))


def moving_view(
    photo: Photo,
    rng: np.random.Generator,
    frames: int,
    size: int,
    focus: tuple[float, float],
    extent: float,
    bending: float,
    liveliness: float,
) -> Scene:
    """A view of about `extent` photo pixels around `focus` (x, y) that moves, zooms and bends.

    `bending` is the size of the displacements as a share of the view. Beyond the photo's border its mirror image is
    seen, labelled 255.
    """
    cv2 = opencv()
    height, width = photo.labels.shape
    extent = float(np.clip(extent, 0.35 * min(height, width), max(height, width)))
    across, down = min(extent, width), min(extent, height)
    across, down = min(across, 1.5 * down), min(down, 1.5 * across)
    x = np.clip(focus[0], across / 2, width - across / 2)
    y = np.clip(focus[1], down / 2, height - down / 2)
    speed = min(rng.exponential(0.08 * liveliness), 0.4) * size
    growth = rng.normal(0, 0.1 * liveliness) + 0.05
    if rng.random() < 0.12 * liveliness:
        growth = rng.uniform(np.log(1.3), np.log(2.5))
    middle = np.full(2, (size - 1) / 2)
    scale = size / float(np.sqrt(across * down))
    motion = make_motion(
        rng, frames, middle, scale, speed, float(growth * pace(frames)), mirrored=0.5, aspect=float(down / across)
    )
    fields = smooth_field(rng, frames, bending * float(np.sqrt(across * down)))
    matrices = motion.matrices((float(x), float(y)))
    images, labels = [], []
    for matrix, bend in zip(matrices, fields, strict=True):
        taken = source_map(matrix, bend, (height, width), (0, 0, size, size))
        images.append(cv2.remap(photo.image, taken, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))
        labels.append(
            cv2.remap(photo.labels, taken, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORE)
        )
    return Scene(np.stack(images), np.stack(labels), photo.complete)


def add_actors(scene: Scene, rng: np.random.Generator, actors: list[Actor]) -> None:
    """Pastes actors in random depth order; they get the ids above those in use and are favoured targets."""
    used = scene.labels[scene.labels != IGNORE].max(initial=0)
    actors = actors[: IGNORE - 1 - int(used)]
    numbers = [int(used) + 1 + index for index in range(len(actors))]
    scene.favoured += numbers
    for place in rng.permutation(len(actors)):
        actor, number = actors[place], numbers[place]
        centre = actor.motion.centre
        smears = np.gradient(centre, axis=0) * actor.shutter if len(centre) > 1 else np.zeros_like(centre)
        for index, cut in enumerate(actor.cuts):
            if cut is None:
                continue
            matrix = actor.motion.matrices(cut.origin)[index]
            smear = smears[index]
            paste(
                scene.frames[index],
                scene.labels[index],
                cut,
                matrix,
                number,
                field=None if actor.bend is None else actor.bend[index],
                opacity=float(actor.opacity[index]),
                smear=(float(smear[0]), float(smear[1])),
            )
