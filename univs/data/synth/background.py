"""Places: stuff laid out with horizons, ridges and patches on a canvas larger than the frame; a camera moves on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from univs.data.synth.dice import Dice
from univs.data.synth.scaling import resized
from univs.data.synth.stuff import NUMBER_OF, STUFF, Stuff, of_role, paint
from univs.data.synth.textures import blobs, fractal

UNKNOWN = 255  # number in the stuff map where a photo lies


@dataclass(frozen=True)
class Background:
    """A canvas: its picture (PIL RGB) and which stuff lies where (h w uint8, numbers of `STUFF`, or UNKNOWN)."""

    picture: Image.Image
    stuff: np.ndarray
    horizon: float  # share of the height at which the ground begins; 0 where the view is from above


class _Canvas:
    def __init__(self, height: int, width: int) -> None:
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self.stuff = np.zeros((height, width), np.uint8)

    def lay(self, stuff: Stuff, texture: np.ndarray, top: int = 0, mask: np.ndarray | None = None) -> None:
        """Put a texture (h w 4) on the canvas from row `top` on, where the mask says so."""
        rows = slice(top, top + len(texture))
        target, number = self.pixels[rows].view(np.uint32)[..., 0], np.uint8(NUMBER_OF[stuff.name])
        packed = texture.view(np.uint32)[..., 0]
        if mask is None:
            target[:], self.stuff[rows] = packed, number
        else:
            np.copyto(target, packed, where=mask)
            np.copyto(self.stuff[rows], number, where=mask)

    def finish(self, dice: Dice, horizon: float) -> Background:
        """Uneven light over the whole, then a picture of it."""
        height, width = self.stuff.shape
        corners = (185 + 70 * dice.array(3, 4)).astype(np.uint8)
        light = resized(Image.fromarray(corners), height, width)
        picture = Image.frombytes("RGB", (width, height), self.pixels.tobytes(), "raw", "RGBX")
        return Background(ImageChops.multiply(picture, Image.merge("RGB", (light,) * 3)), self.stuff, horizon)


def make_background(dice: Dice, height: int, width: int) -> Background:
    """A random place of h x w pixels."""
    kind = dice.uniform()
    if kind < 0.45:
        return _outdoors(dice, height, width)
    if kind < 0.65:
        return _indoors(dice, height, width)
    if kind < 0.85:
        return _from_above(dice, height, width)
    return _collage(dice, height, width)


@dataclass(frozen=True)
class PhotoCut:
    """The part of a photo that fills a canvas, perhaps mirrored; `scale` is canvas pixels per photo pixel."""

    top: int
    left: int
    high: int
    wide: int
    mirrored: bool
    scale: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the photo lies on the canvas (pixels, x y of both)."""
        across = self.wide - (x - self.left) if self.mirrored else x - self.left
        return across * self.scale, (y - self.top) * self.scale


def photo_cut(photo_size: tuple[int, int], dice: Dice, height: int, width: int) -> PhotoCut:
    """A random cut of a photo (rows, columns) for a canvas of h x w pixels."""
    rows, columns = photo_size
    scale = max(height / rows, width / columns)
    high, wide = min(rows, round(height / scale)), min(columns, round(width / scale))
    top, left = dice.integer(rows - high + 1), dice.integer(columns - wide + 1)
    return PhotoCut(top, left, high, wide, dice.sign() < 0, scale)


def photo_background(photo: np.ndarray, cut: PhotoCut, dice: Dice, height: int, width: int) -> Background:
    """A cut of a photo (h w 3 uint8) that fills a canvas of h x w pixels."""
    part = photo[cut.top : cut.top + cut.high, cut.left : cut.left + cut.wide][:, :: -1 if cut.mirrored else 1]
    picture = resized(Image.fromarray(np.ascontiguousarray(part)), height, width, Image.Resampling.BICUBIC)
    return Background(picture, np.full((height, width), UNKNOWN, np.uint8), dice.uniform(0.0, 0.5))


def _outdoors(dice: Dice, height: int, width: int) -> Background:
    canvas = _Canvas(height, width)
    horizon = int(height * dice.uniform(0.25, 0.6))
    sky = dice.pick(of_role("sky"))
    canvas.lay(sky, paint(sky, dice, horizon + 1, width))
    for band in range(dice.integer(3)):
        far = dice.pick(of_role("far"))
        high = horizon * dice.uniform(0.2, 0.8) / (1 + band)
        columns = max(8, int(width * dice.uniform(0.15, 0.6)))
        smooth = dice.child(1, band).curve(width, 1, columns)[:, 0]
        rugged = dice.child(2, band).curve(width, 1, columns / 9)[:, 0]
        if far.name == "city":
            step = 8 + dice.integer(30)
            rugged = np.repeat(dice.child(2, band).array(width // step + 1) * 2 - 1, step)[:width]
        ridge = horizon - high * (0.5 + 0.6 * smooth + 0.25 * rugged)
        mask = np.arange(horizon + 1)[:, None] > ridge[None]
        canvas.lay(far, paint(far, dice, horizon + 1, width), 0, mask)
    ground = dice.pick(of_role("ground"))
    view = _Perspective(dice, height - horizon, width)
    canvas.lay(ground, view(paint(ground, dice, *_FLAT)), horizon)
    if dice.chance(0.6):
        other = dice.pick(of_role("ground"))
        mask = view(blobs(dice, *_FLAT)) > 120 + dice.integer(50)
        canvas.lay(other, view(paint(other, dice, *_FLAT)), horizon, mask)
    if dice.chance(0.3):
        _road(canvas, dice, horizon, view)
    if dice.chance(0.6):
        _haze(canvas, dice, horizon)
    return canvas.finish(dice, horizon / height)


def _indoors(dice: Dice, height: int, width: int) -> Background:
    canvas = _Canvas(height, width)
    horizon = int(height * dice.uniform(0.4, 0.75))
    wall, floor = dice.pick(of_role("wall")), dice.pick(of_role("floor"))
    canvas.lay(wall, paint(wall, dice, horizon, width))
    for _ in range(dice.integer(5)):
        high, wide = int(horizon * dice.uniform(0.2, 0.6)), int(width * dice.uniform(0.06, 0.25))
        top, left = dice.integer(horizon - high), dice.integer(width - wide)
        canvas.pixels[top : top + high, left : left + wide] = [dice.integer(256) for _ in range(4)]
        edge = 2 + dice.integer(5)
        if high > 3 * edge and wide > 3 * edge:
            inside = paint(dice.pick(STUFF), dice, high - 2 * edge, wide - 2 * edge)
            canvas.pixels[top + edge : top + high - edge, left + edge : left + wide - edge] = inside
    canvas.lay(floor, _Perspective(dice, height - horizon, width)(paint(floor, dice, *_FLAT)), horizon)
    edge = 2 + dice.integer(6)
    canvas.pixels[horizon - edge : horizon] = [dice.integer(256) for _ in range(4)]
    return canvas.finish(dice, horizon / height)


def _from_above(dice: Dice, height: int, width: int) -> Background:
    canvas = _Canvas(height, width)
    kinds = of_role("ground", "floor")
    base = dice.pick(kinds)
    canvas.lay(base, paint(base, dice, height, width))
    for _ in range(dice.integer(3)):
        other = dice.pick(kinds)
        mask = blobs(dice, height, width) > 125 + dice.integer(60)
        canvas.lay(other, paint(other, dice, height, width), 0, mask)
    return canvas.finish(dice, 0.0)


def _collage(dice: Dice, height: int, width: int) -> Background:
    """Stripes of a noise's height lines, each of other stuff: no sense, much to get lost in."""
    canvas = _Canvas(height, width)
    lines = fractal(dice, height, width, rough=dice.integer(2))
    for level in (0, 105, 128, 150):
        stuff = dice.pick(STUFF)
        canvas.lay(stuff, paint(stuff, dice, height, width), 0, lines >= level)
    return canvas.finish(dice, 0.0)


_FLAT = (320, 640)


class _Perspective:
    """Looks at a flat texture (320 x 640) as at ground that runs up to a horizon; call it with h w or h w 4 uint8."""

    def __init__(self, dice: Dice, height: int, width: int) -> None:
        rows, columns = _FLAT
        far = height * dice.uniform(0.35, 1.0)
        depth = np.arange(height) + far
        along = (height + far) ** 2 * (1 / far - 1 / depth)
        spread = (height + far) / depth
        across = (np.arange(width)[None] - width * dice.uniform(0.2, 0.8)) * spread[:, None]
        row = np.mod(along.astype(np.int64), 2 * rows)
        column = np.mod(across.astype(np.int64) + columns // 2, 2 * columns)
        row = np.where(row < rows, row, 2 * rows - 1 - row)
        column = np.where(column < columns, column, 2 * columns - 1 - column)
        self._index = row[:, None] * columns + column

    def __call__(self, flat: np.ndarray) -> np.ndarray:
        if flat.ndim == 2:
            return flat.reshape(-1).take(self._index)
        packed = np.ascontiguousarray(flat).view(np.uint32).reshape(-1)
        return packed.take(self._index).view(np.uint8).reshape(*self._index.shape, 4)


def _road(canvas: _Canvas, dice: Dice, horizon: int, view: _Perspective) -> None:
    height, width = canvas.stuff.shape
    road = STUFF[NUMBER_OF["road"]]
    vanishing, foot = width * dice.uniform(0.2, 0.8), width * dice.uniform(0.1, 0.9)
    half = width * dice.uniform(0.15, 0.45)
    mask = Image.new("L", (width, height - horizon))
    corners = [(vanishing - half / 12, 0), (vanishing + half / 12, 0), (foot + half, height), (foot - half, height)]
    ImageDraw.Draw(mask).polygon([(int(x), int(y)) for x, y in corners], fill=1)
    canvas.lay(road, view(paint(road, dice, *_FLAT)), horizon, np.asarray(mask).astype(bool))
    picture = Image.fromarray(canvas.pixels[horizon:])
    draw = ImageDraw.Draw(picture)
    near = 1.0
    while near > 0.08:  # dashes along the middle, shorter towards the horizon
        a, b, near = near, near * 0.8, near * 0.62
        thick = half * 0.03
        line = [(vanishing + (foot - vanishing) * s + side * thick * s, (height - horizon) * s)
                for s, side in ((a, -1), (a, 1), (b, 1), (b, -1))]  # fmt: skip
        draw.polygon([(int(x), int(y)) for x, y in line], fill=(225, 220, 200, 0))
    canvas.pixels[horizon:] = np.asarray(picture)


def _haze(canvas: _Canvas, dice: Dice, horizon: int) -> None:
    """Distance fades towards the light of the sky."""
    height = len(canvas.pixels)
    light = canvas.pixels[max(0, horizon // 2), :, :].mean(0).astype(np.uint16)
    deep = int(height * dice.uniform(0.1, 0.4)) + 1
    top, bottom = max(0, horizon - deep), min(height, horizon + deep)
    distance = np.abs(np.arange(top, bottom) - horizon)
    share = ((deep - distance) * int(dice.uniform(60, 190)) // deep).astype(np.uint16)[:, None, None]
    band = canvas.pixels[top:bottom]
    band[:] = (band * (256 - share) + light * share) >> 8
