"""Grey patterns: fractal noise, cells, bricks, planks, stripes, ...; every one is uint8 of h x w pixels.

The costly ones are cut from tiles that are made once per process (the same ones everywhere) and then kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

from univs.data.synth.dice import Dice
from univs.data.synth.scaling import resized

TILE = (512, 768)
TILES_OF_A_KIND = 4
ROUGHNESS = (0.45, 0.6, 0.75, 0.95)  # how much of an octave's strength the next, finer one has
CELL_SIZES = (12, 24, 48)
_TILE_STREAM = 7_001

Pattern = Callable[[Dice, int, int], np.ndarray]


def fractal(dice: Dice, height: int, width: int, rough: int = 1, zoom: float = 1.0, stretch: float = 1.0) -> np.ndarray:
    """Multi-octave noise; `zoom` enlarges its features, `stretch` makes them longer in x than in y."""
    return _cut(_noise_tile(rough, dice.integer(TILES_OF_A_KIND)), dice, height, width, zoom, stretch)


def blobs(dice: Dice, height: int, width: int) -> np.ndarray:
    """Broad soft hills, of which a threshold cuts organic patches."""
    return fractal(dice, height, width, rough=0, zoom=1.3)


def speckle(dice: Dice, height: int, width: int) -> np.ndarray:
    """Fine grain on faint patches: asphalt, sand, plaster."""
    return fractal(dice, height, width, rough=3)


def ripples(dice: Dice, height: int, width: int) -> np.ndarray:
    """Bright threads on dark, drawn out sideways: water."""
    noise = fractal(dice, height, width, rough=1, zoom=dice.uniform(0.7, 1.2), stretch=dice.uniform(2.5, 5))
    return _RIDGE[noise]


def veins(dice: Dice, height: int, width: int) -> np.ndarray:
    """Threads in every direction: marble, dry earth, seen-through water."""
    return _RIDGE[fractal(dice, height, width, rough=0, zoom=dice.uniform(0.7, 1.1))]


def stones(dice: Dice, height: int, width: int) -> np.ndarray:
    """Cells of one kind of size, each with its own shade, dark between them: pebbles, cobbles, leaves, flowers."""
    tile = _cell_tile(dice.integer(len(CELL_SIZES)), dice.integer(2))
    return _cut(tile, dice, height, width, dice.uniform(0.6, 1.2), dice.pick((1.0, 1.0, 1.6)))


def bricks(dice: Dice, height: int, width: int) -> np.ndarray:
    """Courses of bricks, every other one shifted by half a brick."""
    high = 8 + dice.integer(14)
    return _grid(dice, height, width, high, int(high * dice.uniform(1.8, 3)), shift=2, joint=1 + high // 9)


def tiles(dice: Dice, height: int, width: int) -> np.ndarray:
    """Square tiles."""
    size = 14 + dice.integer(34)
    return _grid(dice, height, width, size, size, shift=1, joint=1 + size // 20)


def planks(dice: Dice, height: int, width: int) -> np.ndarray:
    """Long boards with grain, each with its own shade."""
    high = 14 + dice.integer(26)
    board = _grid(dice, height, width, high, high * (6 + dice.integer(8)), shift=3, joint=1)
    grain = fractal(dice, height, width, rough=2, stretch=10)
    return _mix(board, grain, 0.5)


def weave(dice: Dice, height: int, width: int) -> np.ndarray:
    """Cloth: stripes both ways with a fine grain; a stripe may be missing in one direction."""
    across = _stripes(dice, width)[None, :] * (not dice.chance(0.2))
    down = _stripes(dice, height)[:, None] * (not dice.chance(0.4))
    cloth = ((across.astype(np.uint16) + down) // 2).astype(np.uint8)
    return _mix(cloth, speckle(dice, height, width), 0.25)


def folds(dice: Dice, height: int, width: int) -> np.ndarray:
    """Hanging folds: a curtain, corrugated metal, tall grass."""
    return fractal(dice, height, width, rough=1, zoom=dice.uniform(0.4, 0.8), stretch=1 / dice.uniform(10, 18))


def dots(dice: Dice, height: int, width: int) -> np.ndarray:
    """Round dots in a lattice: wallpaper."""
    size = 10 + dice.integer(24)
    radius = int(size * dice.uniform(0.2, 0.45))
    y, x = np.arange(height)[:, None] % size - size // 2, np.arange(width)[None] % size - size // 2
    spot = (y * y + x * x < radius * radius).astype(np.uint8) * 150 + 50
    return _mix(spot, fractal(dice, height, width), 0.3)


def _grid(dice: Dice, height: int, width: int, high: int, wide: int, shift: int, joint: int) -> np.ndarray:
    rows, y = np.divmod(np.arange(height) + dice.integer(high), high)
    offset = (rows % shift) * (wide // shift)
    columns, x = np.divmod(np.arange(width)[None] + offset[:, None] + dice.integer(wide), wide)
    shades = (60 + 140 * dice.array(int(rows[-1]) + 1, int(columns.max()) + 1)).astype(np.uint8)
    image = shades[rows[:, None], columns]
    image[(x < joint) | (y < joint)[:, None]] = dice.pick((10, 245))
    return _mix(image, speckle(dice, height, width), 0.3)


def _stripes(dice: Dice, length: int) -> np.ndarray:
    bands = np.cumsum(3 + (dice.array(64) * dice.uniform(6, 40)).astype(int))
    shades = (dice.array(5) * 255).astype(np.uint8)
    return shades[np.searchsorted(bands, np.arange(length) % int(bands[7 + dice.integer(20)])) % 5]


def _mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    part = int(share * 256)
    return ((a.astype(np.uint16) * (256 - part) + b.astype(np.uint16) * part) >> 8).astype(np.uint8)


_RIDGE = (
    np.maximum(0, 255 - np.abs(np.arange(256) - 128) * 4).astype(np.uint8) // 2 + np.arange(256).astype(np.uint8) // 2
)


def _cut(tile: np.ndarray, dice: Dice, height: int, width: int, zoom: float, stretch: float) -> np.ndarray:
    """A random window of a tile, mirrored at random, scaled to h x w."""
    rows = min(TILE[0], max(2, int(height / zoom * max(1.0, stretch**0.5))))
    columns = min(TILE[1], max(2, int(width / zoom * min(1.0, 1 / stretch) * max(1.0, stretch**0.5))))
    top, left = dice.integer(TILE[0] - rows + 1), dice.integer(TILE[1] - columns + 1)
    window = tile[top : top + rows, left : left + columns]
    window = window[:: dice.sign(), :: dice.sign()]
    if window.shape == (height, width):
        return window
    return np.asarray(resized(Image.fromarray(np.ascontiguousarray(window)), height, width))


@cache
def _noise_tile(rough: int, number: int) -> np.ndarray:
    dice = Dice(_TILE_STREAM, rough, number)
    total, strength, sum_of_squares = np.zeros(TILE, np.int32), 256.0, 0.0
    for octave in range(8):
        cells = (4 << octave, 6 << octave)
        octave_noise = Image.fromarray((dice.array(*cells) * 256).astype(np.uint8))
        values = np.asarray(resized(octave_noise, *TILE, Image.Resampling.BICUBIC)).astype(np.int32)
        total += (values - 128) * int(strength)
        sum_of_squares += int(strength) ** 2
        strength *= ROUGHNESS[rough]
    scale = int(sum_of_squares**0.5 * 1.05)
    return np.clip(total // scale + 128, 0, 255).astype(np.uint8)


@cache
def _cell_tile(size_index: int, number: int) -> np.ndarray:
    """Voronoi cells of jittered points: shade of the nearest point, darker towards the second nearest."""
    size, dice = CELL_SIZES[size_index], Dice(_TILE_STREAM, 100 + size_index, number)
    rows, columns = TILE[0] // size + 3, TILE[1] // size + 3
    points = (dice.array(rows, columns, 2) * size).astype(np.int64)
    shades = (70 + 185 * dice.array(rows, columns)).astype(np.int64)
    y, x = np.arange(TILE[0])[:, None], np.arange(TILE[1])[None]
    row, column = y // size + 1, x // size + 1
    first = np.full(TILE, 1 << 40, np.int64)
    second, shade = first.copy(), np.zeros(TILE, np.int64)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            py = points[row + i, column + j, 0] + (row + i - 1) * size
            px = points[row + i, column + j, 1] + (column + j - 1) * size
            distance = (y - py) ** 2 + (x - px) ** 2
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            shade = np.where(nearer, shades[row + i, column + j], shade)
            first = np.where(nearer, distance, first)
    gap = np.sqrt(second) - np.sqrt(first)
    light = np.clip(gap * 6 / size + 0.25, 0, 1)
    return (shade * light).astype(np.uint8)


PATTERNS: dict[str, Pattern] = {
    "fractal": fractal,
    "rough": lambda dice, height, width: fractal(dice, height, width, rough=2),
    "speckle": speckle,
    "ripples": ripples,
    "veins": veins,
    "stones": stones,
    "bricks": bricks,
    "tiles": tiles,
    "planks": planks,
    "weave": weave,
    "folds": folds,
    "dots": dots,
}
