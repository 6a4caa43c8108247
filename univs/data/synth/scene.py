"""One clip of the world: a place, a camera, things that move, and how they are put together frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from univs.data.synth.background import UNKNOWN, Background, make_background, photo_background, photo_cut
from univs.data.synth.dice import Dice
from univs.data.synth.film import Film
from univs.data.synth.look import Look, Wardrobe
from univs.data.synth.motion import Camera, Motion, film, move
from univs.data.synth.photos import PhotoFolder
from univs.data.synth.render import Pose, draw, view

MARGIN = 1.5  # the canvas is so many times the frame
MOST_THINGS = 9
TAKEN_APART = (
    0.4  # share of the photos with label maps whose own object moves on its own, and the place behind it shows
)
FIRST_STUFF = 200  # id of the first kind of stuff in a panoptic map; UNKNOWN stays as it is


@dataclass(frozen=True)
class Thing:
    """One thing of a scene; number is its id in the label maps."""

    number: int
    look: Look
    motion: Motion
    places: np.ndarray  # T+1 2: its middle in pixels of the frame
    shadow: float


@dataclass(frozen=True)
class Start:
    """What a thing looks like and where it lies before it moves: its middle and longer side in pixels of the canvas."""

    look: Look
    middle: tuple[float, float]
    length: float


class Scene:
    """T frames of H x W pixels, composed when asked for."""

    def __init__(self, dice: Dice, size: tuple[int, int], frames: int, difficulty: float, wardrobe: Wardrobe) -> None:
        self.size, self.frames, self.difficulty = size, frames, difficulty
        height, width = size
        canvas = (round(height * MARGIN), round(width * MARGIN))
        own: Start | None = None
        self.background: Background
        if wardrobe.photos and dice.chance(0.8):
            self.background, own = _photo_place(wardrobe.photos, dice, canvas)
        else:
            self.background = make_background(dice.child(1), *canvas)
        stuff = self.background.stuff
        self._stuff = Image.fromarray(np.where(stuff == UNKNOWN, UNKNOWN, stuff + np.uint8(FIRST_STUFF)))
        self.camera: Camera = film(dice.child(2), frames + 1, size, canvas, difficulty)
        self._film = Film(dice.child(3), frames, difficulty)
        self._shutter = difficulty * dice.uniform(0.0, 1.1)
        count = 1 + dice.integer(2 + round((MOST_THINGS - 3) * difficulty) + 1)
        looks: list[Look] = [] if own is None else [own.look]
        for number in range(1 + len(looks), count + 1):
            if looks and dice.chance(0.15 + 0.25 * difficulty):  # a look-alike
                looks.append(dice.pick(looks))
            else:
                looks.append(wardrobe.look(dice.child(4, number), difficulty))
        starts = [own, *[None] * (count - 1)]
        self.things = tuple(
            self._thing(dice.child(5, n), n, look, start)
            for n, (look, start) in enumerate(zip(looks, starts, strict=True), 1)
        )

    def compose(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame t: the picture, H W 3 uint8, and the ids of the things seen there, H W uint8 (0 background)."""
        centre, zoom, angle = self.camera.centre[t], float(self.camera.zoom[t]), float(self.camera.angle[t])
        pan = (centre - self.camera.centre[t + 1]) / zoom * self._shutter
        frame: Image.Image = view(self.background.picture, self.size, centre, zoom, angle)
        labels = np.zeros(self.size, np.uint8)
        for thing in sorted(self.things, key=lambda thing: float(thing.motion.depth[t])):
            draw(frame, labels, thing.look, self._pose(thing, t, pan), thing.number)
        return self._film.develop(frame, t, (float(pan[0]), float(pan[1]))), labels

    def panoptic(self, t: int, labels: np.ndarray) -> np.ndarray:
        """Frame t, H W uint8: the things of its label map, and around them the stuff: FIRST_STUFF + its number."""
        centre, zoom, angle = self.camera.centre[t], float(self.camera.zoom[t]), float(self.camera.angle[t])
        stuff = view(self._stuff, self.size, centre, zoom, angle, Image.Resampling.NEAREST)
        return np.where(labels, labels, np.asarray(stuff))

    def _thing(self, dice: Dice, number: int, look: Look, start: Start | None) -> Thing:
        height, width = self.size
        motion = move(dice, self.frames + 1, width / height, self.difficulty, self.background.horizon, look.soft)
        camera = self.camera
        if start is not None:
            whole = height * camera.rest_zoom
            seen = np.array(start.middle) - camera.centre[0] + (camera.centre[0] - camera.rest) * motion.parallax
            motion = replace(
                motion,
                place=motion.place + (seen / whole - motion.place[0]),
                size=motion.size * (start.length / whole / motion.size[0]),
            )
        world = motion.place * (height * camera.rest_zoom) - (camera.centre - camera.rest) * motion.parallax
        cosine, sine = np.cos(camera.angle), np.sin(camera.angle)
        x = (world[:, 0] * cosine + world[:, 1] * sine) / camera.zoom + width / 2
        y = (world[:, 1] * cosine - world[:, 0] * sine) / camera.zoom + height / 2
        shadow = dice.uniform(0.2, 0.7) if motion.grounded and dice.chance(0.75) else 0.0
        return Thing(number, look, motion, np.stack([x, y], 1), shadow)

    def _pose(self, thing: Thing, t: int, pan: np.ndarray) -> Pose:
        motion, place = thing.motion, thing.places[t]
        sweep = (thing.places[t + 1] - place) * self._shutter - pan
        if np.abs(sweep).max() > 0.2 * self.size[1]:  # it has left and enters elsewhere
            sweep = np.zeros(2)
        size = float(motion.size[t]) * self.size[0] * self.camera.rest_zoom / float(self.camera.zoom[t])
        return Pose(
            x=float(place[0]),
            y=float(place[1]),
            size=size,
            shape=(float(motion.shape[t, 0]), float(motion.shape[t, 1])),
            angle=float(motion.angle[t] - self.camera.angle[t]),
            pulls=motion.pulls[t],
            sweep=(float(sweep[0]), float(sweep[1])),
            shadow=thing.shadow,
        )


def _photo_place(photos: PhotoFolder, dice: Dice, canvas: tuple[int, int]) -> tuple[Background, Start | None]:
    """A photo as background; now and then one of its own objects is taken out of it, to move on its own."""
    apart = photos.taken_apart(dice.child(0)) if dice.chance(TAKEN_APART) else None
    photo = photos.photo(dice.child(0)) if apart is None else apart.photo
    cut = photo_cut((photo.shape[0], photo.shape[1]), dice.child(1), *canvas)
    place = photo_background(photo, cut, dice.child(6), *canvas)
    if apart is None:
        return place, None
    look = Look(apart.cut_out, None, soft=0.6)
    return place, Start(look, cut.place(*apart.middle), max(look.height, look.width) * cut.scale)
