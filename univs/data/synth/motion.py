"""How things and the camera move: all frames of a clip at once, in numbers that do not depend on the clip's length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univs.data.synth.dice import Dice, fold

STRONGEST_PULL = 0.2
"""Of a warp, as a share of the thing's longer side; from twice as much on a thing would fold over itself."""


@dataclass(frozen=True)
class Motion:
    """The way of one thing over T frames. Lengths are in frame heights, places are relative to the frame's middle."""

    place: np.ndarray  # T 2: x to the right, y down
    size: np.ndarray  # T: length of the longer side
    shape: np.ndarray  # T 2: stretch in the thing's own x and y; a negative x is a mirrored thing
    angle: np.ndarray  # T radians, clockwise
    pulls: np.ndarray  # T 9 2: the thin-plate warp, see `spline.warp`
    depth: np.ndarray  # T: larger is nearer to the camera
    parallax: float  # share of the camera's pan that moves it, 1 for what stands still in the world
    grounded: bool  # stands on the ground (and throws a shadow on it)


@dataclass(frozen=True)
class Camera:
    """The way of the camera over T frames on a canvas of H x W pixels."""

    centre: np.ndarray  # T 2: pixels of the canvas (x, y) in the middle of the frame
    zoom: np.ndarray  # T: canvas pixels per frame pixel
    angle: np.ndarray  # T radians
    rest: np.ndarray  # 2: the place on the canvas at which things are where their motion says
    rest_zoom: float


def move(dice: Dice, frames: int, aspect: float, difficulty: float, horizon: float, soft: float) -> Motion:
    """The motion of one thing: it wanders, walks to and fro, bounces, crosses the frame or stands.

    `aspect` is width / height of the frame, `horizon` where the ground begins (share of the height), `soft` how much
    the thing may bend (0..1). `difficulty` (0..1) scales speed, change of size, turning and bending.
    """
    lively = difficulty * dice.uniform(0.6, 1.4)
    half = aspect / 2
    steps = np.arange(frames, dtype=np.float64)
    size = dice.between(0.16, 0.6)
    ground = dice.uniform(max(horizon, 0.2), 0.85) - 0.5
    kind = dice.uniform()
    grounded, parallax = True, dice.uniform(0.1, 0.7)
    shape = np.ones((frames, 2))
    pace = dice.between(0.004, 0.03) * (0.3 + 1.4 * lively) * aspect  # frame heights a frame
    spin = dice.child(1).curve(frames, 1, dice.uniform(12, 40))[:, 0]
    angle = spin * (0.25 + 1.2 * lively) * dice.between(0.1, 1.2)
    start = dice.uniform(-half, half)
    if kind < 0.35:  # wanders
        way = dice.child(2).curve(frames, 2, dice.between(9, 40) / (0.4 + 1.2 * lively))
        place = way * np.array([half * 0.9, 0.42]) + np.array([start * 0.5, dice.uniform(-0.25, 0.25)])
        grounded = False
    elif kind < 0.6:  # walks to and fro and turns round; beyond the edges if its reach is long
        reach = half * dice.uniform(0.5, 1.2 + 0.3 * difficulty)
        walked = start + steps * pace * dice.sign()
        x = fold(walked, reach)
        heading = np.where(np.mod(walked + reach, 4 * reach) < 2 * reach, 1.0, -1.0)
        turning = np.clip((reach - np.abs(x)) / max(pace * 3, 0.02), 0.2, 1.0)
        bob = np.abs(fold(steps / dice.uniform(4, 9), 1.0)) * 0.03 * size
        place = np.stack([x, ground - bob], 1)
        shape[:, 0] = heading * turning
        angle = angle * 0.25
    elif kind < 0.73:  # bounces
        x = fold(start + steps * pace * dice.sign(), half * dice.uniform(0.7, 1.1))
        beat = np.mod(dice.uniform() + steps / (dice.uniform(10, 26) / (0.6 + 0.8 * lively)), 1.0)
        high = 4 * beat * (1 - beat)
        place = np.stack([x, ground - high * dice.uniform(0.2, 0.6)], 1)
        squash = np.clip(0.25 - high, 0, 1) * lively * 1.2
        shape += np.stack([squash, -squash], 1)
        angle = angle + steps * pace * dice.sign() * 2
    elif kind < 0.88:  # crosses the frame, leaves it, enters again
        reach = half + size * 0.6
        direction = dice.sign()
        x = fold_through(start + steps * pace * 1.5 * direction, reach)
        drift = dice.child(2).curve(frames, 1, 30)[:, 0] * 0.15 * (0.3 + lively)
        place = np.stack([x, ground * dice.uniform(-0.6, 1.0) + drift], 1)
        shape[:, 0] = direction
        angle, grounded = angle * 0.5, False
    else:  # stands
        sway = dice.child(2).curve(frames, 2, 15) * 0.03 * lively
        place, parallax = sway + np.array([start, ground]), 1.0
        angle = angle * 0.15
    shape[:, 0] *= dice.sign()
    if lively > 0.25 and dice.chance(0.25):  # turns over about its upright axis now and then
        turn = dice.child(3).curve(frames, 1, dice.uniform(12, 30))[:, 0] * 6
        shape[:, 0] *= np.where(turn < 0, -1, 1) * np.clip(np.abs(turn), 0.2, 1.0)
    approach = dice.child(4).curve(frames, 1, dice.between(14, 60) / (0.5 + lively))[:, 0]
    depth = dice.uniform(-1, 1) + (place[:, 1] if grounded else 0) + approach * min(1.5, 0.2 + lively)
    growth = approach * min(1.3, 0.15 + 1.2 * lively)
    sizes = np.maximum(size * np.where(growth > 0, 1 + growth, 1 / (1 - growth)), 0.06)
    pulls = dice.child(5).curve(frames, 18, dice.between(5, 24)).reshape(frames, 9, 2)
    pulls = (pulls - pulls.mean(1, keepdims=True)) * (STRONGEST_PULL * lively * soft * dice.uniform())
    return Motion(place, sizes, shape, angle, pulls, depth, parallax, grounded)


def fold_through(values: np.ndarray, reach: float) -> np.ndarray:
    """Numbers wrapped into -reach..reach: out at one side, in at the other."""
    return np.mod(values + reach, 2 * reach) - reach


def film(dice: Dice, frames: int, size: tuple[int, int], canvas: tuple[int, int], difficulty: float) -> Camera:
    """The camera's pan, zoom, roll and shake; the view (H W = `size`) stays within the canvas (H W)."""
    (height, width), (rows, columns) = size, canvas
    lively = difficulty * dice.uniform(0.0, 1.6)
    steady = dice.chance(0.25)
    widest = min(rows / height, columns / width)
    rest_zoom = widest * dice.uniform(0.68, 0.8)
    zoom_way = dice.child(1).curve(frames, 1, dice.uniform(20, 60))[:, 0]
    roll_way = dice.child(2).curve(frames, 1, dice.uniform(10, 40))[:, 0]
    pan_way = dice.child(3).curve(frames, 2, dice.between(12, 60))
    shake_way = dice.child(4).curve(frames, 2, dice.uniform(1.5, 4))
    strength = 0.0 if steady else min(lively, 1.0)
    angle = 0.12 * strength * roll_way
    lean = np.abs(angle)
    most = np.minimum((columns - 4) / (width + lean * height), (rows - 4) / (height + lean * width))
    zoom = np.clip(rest_zoom * (1 + 0.45 * strength * zoom_way), 0.6 * rest_zoom, most)
    reach_x = columns / 2 - zoom * (width / 2 + lean * height / 2) - 1
    reach_y = rows / 2 - zoom * (height / 2 + lean * width / 2) - 1
    reach = np.maximum(np.stack([reach_x, reach_y], 1), 0)
    way = strength * 1.4 * pan_way * reach + shake_way * (height * 0.025 * strength * dice.uniform() ** 2)
    middle = np.array([columns / 2, rows / 2])
    return Camera(middle + np.clip(way, -reach, reach), zoom, angle, middle, rest_zoom)
