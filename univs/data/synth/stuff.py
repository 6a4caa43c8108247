"""What is not a thing: sky, grass, water, brick, ...; for each a pattern and the colours it may have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univs.data.synth.dice import Dice
from univs.data.synth.textures import PATTERNS, fractal

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Stuff:
    """One kind of stuff. `role` says where it may lie: sky, far, ground, wall or floor (indoors)."""

    name: str
    role: str
    patterns: tuple[str, ...]
    ramps: tuple[tuple[Colour, ...], ...]  # colours from the pattern's dark to its bright end
    patchy: float = 0.3  # strength of large patches of lighter and darker


STUFF: tuple[Stuff, ...] = (
    Stuff(
        "sky",
        "sky",
        ("fractal",),
        (
            ((70, 130, 200), (200, 220, 240)),
            ((90, 100, 120), (190, 195, 205)),
            ((240, 150, 90), (250, 215, 160)),
            ((20, 25, 55), (60, 70, 110)),
            ((120, 180, 220), (235, 245, 250)),
        ),
    ),
    Stuff(
        "mountain",
        "far",
        ("rough", "veins"),
        (((50, 60, 80), (140, 150, 170)), ((70, 60, 55), (170, 150, 130)), ((90, 100, 120), (240, 245, 250))),
    ),
    Stuff(
        "trees",
        "far",
        ("stones", "rough"),
        (((15, 35, 15), (90, 130, 60)), ((30, 40, 30), (120, 140, 80)), ((70, 40, 15), (210, 140, 50))),
    ),
    Stuff("hill", "far", ("fractal", "speckle"), (((60, 90, 40), (150, 170, 80)), ((110, 100, 60), (200, 180, 120)))),
    Stuff(
        "city",
        "far",
        ("bricks", "tiles"),
        (((60, 65, 80), (150, 150, 160)), ((110, 80, 70), (210, 190, 170)), ((25, 25, 40), (230, 200, 110))),
    ),
    Stuff(
        "grass",
        "ground",
        ("rough", "speckle", "folds"),
        (((30, 60, 15), (120, 160, 60)), ((60, 80, 20), (180, 180, 90)), ((20, 70, 30), (90, 170, 80))),
    ),
    Stuff(
        "sand",
        "ground",
        ("speckle", "ripples"),
        (((150, 120, 80), (235, 210, 165)), ((190, 160, 120), (245, 225, 190))),
    ),
    Stuff(
        "water",
        "ground",
        ("ripples", "veins"),
        (((10, 50, 90), (120, 180, 210)), ((20, 70, 70), (130, 190, 180)), ((40, 55, 70), (170, 185, 195))),
    ),
    Stuff(
        "snow",
        "ground",
        ("fractal", "speckle"),
        (((180, 195, 220), (250, 252, 255)), ((150, 165, 190), (240, 240, 245))),
    ),
    Stuff("road", "ground", ("speckle",), (((60, 60, 65), (130, 130, 130)), ((85, 80, 80), (165, 160, 155)))),
    Stuff("earth", "ground", ("rough", "veins"), (((60, 40, 25), (160, 120, 80)), ((90, 50, 30), (190, 120, 80)))),
    Stuff("pebbles", "ground", ("stones",), (((40, 40, 40), (190, 185, 175)), ((70, 55, 40), (215, 195, 165)))),
    Stuff(
        "forest floor",
        "ground",
        ("stones", "rough"),
        (((30, 22, 12), (120, 85, 45), (200, 130, 60)), ((25, 30, 12), (95, 85, 40), (170, 150, 70))),
    ),
    Stuff(
        "flowers",
        "ground",
        ("stones",),
        (
            ((20, 60, 20), (70, 120, 40), (230, 120, 160)),
            ((25, 70, 25), (90, 140, 50), (240, 210, 70)),
            ((20, 55, 30), (80, 110, 60), (130, 120, 220)),
        ),
    ),
    Stuff(
        "brick wall",
        "wall",
        ("bricks",),
        (((200, 195, 185), (120, 55, 40), (190, 100, 75)), ((70, 65, 60), (150, 140, 130), (205, 195, 185))),
    ),
    Stuff(
        "plaster",
        "wall",
        ("fractal", "speckle"),
        (
            ((150, 140, 125), (230, 222, 205)),
            ((120, 140, 150), (200, 215, 220)),
            ((150, 110, 100), (220, 180, 165)),
            ((90, 105, 80), (170, 185, 150)),
        ),
    ),
    Stuff(
        "wallpaper",
        "wall",
        ("weave", "dots"),
        (
            ((120, 60, 60), (225, 190, 160)),
            ((50, 80, 110), (200, 215, 225)),
            ((80, 95, 60), (225, 220, 180)),
            ((90, 60, 110), (225, 200, 230)),
        ),
    ),
    Stuff(
        "curtain",
        "wall",
        ("folds",),
        (((70, 15, 20), (190, 60, 60)), ((25, 45, 70), (110, 150, 190)), ((120, 105, 80), (235, 225, 200))),
    ),
    Stuff(
        "shelf",
        "wall",
        ("planks", "bricks"),
        (((40, 25, 15), (150, 90, 60), (220, 170, 90)), ((30, 40, 60), (160, 60, 60), (230, 200, 120))),
    ),
    Stuff(
        "stone wall", "wall", ("stones", "bricks"), (((45, 42, 40), (175, 168, 155)), ((60, 50, 45), (200, 170, 140)))
    ),
    Stuff("wood floor", "floor", ("planks",), (((60, 35, 20), (170, 110, 65)), ((120, 85, 55), (220, 180, 130)))),
    Stuff(
        "tile floor",
        "floor",
        ("tiles",),
        (((90, 90, 95), (225, 225, 220)), ((120, 70, 50), (215, 165, 130)), ((40, 60, 70), (190, 210, 210))),
    ),
    Stuff(
        "carpet",
        "floor",
        ("weave", "speckle"),
        (((90, 25, 30), (190, 90, 80)), ((40, 50, 80), (140, 150, 180)), ((80, 80, 70), (190, 185, 165))),
    ),
    Stuff(
        "concrete", "floor", ("speckle", "veins"), (((90, 90, 90), (180, 178, 172)), ((120, 115, 105), (205, 198, 185)))
    ),
)

NUMBER_OF = {stuff.name: number for number, stuff in enumerate(STUFF)}


def of_role(*roles: str) -> tuple[Stuff, ...]:
    """The kinds of stuff that may lie in these places."""
    return tuple(stuff for stuff in STUFF if stuff.role in roles)


def paint(stuff: Stuff, dice: Dice, height: int, width: int) -> np.ndarray:
    """A flat piece of this stuff, h w 4 uint8 (RGB and an unused byte)."""
    values = PATTERNS[dice.pick(stuff.patterns)](dice, height, width)
    patches = fractal(dice, height, width, rough=0, zoom=1.5)
    share = int(256 * stuff.patchy * dice.uniform(0.3, 1.2))
    values = ((values.astype(np.uint16) * (256 - share) + patches.astype(np.uint16) * share) >> 8).astype(np.uint8)
    return ramp(dice.pick(stuff.ramps), dice)[values].view(np.uint8).reshape(height, width, 4)


def ramp(colours: tuple[Colour, ...], dice: Dice) -> np.ndarray:
    """256 packed colours (uint32) through the given ones, shifted a little at random, contrast spread."""
    places = np.linspace(40, 215, len(colours))
    shifted = np.array(colours) + (dice.array(1, 3) - 0.5) * 40 + (dice.array(len(colours), 3) - 0.5) * 24
    table = np.zeros((256, 4), np.uint8)
    for channel in range(3):
        curve = np.interp(np.arange(256), places, shifted[:, channel])
        table[:, channel] = np.clip(np.floor(curve + 0.5), 0, 255)
    return table.view(np.uint32)[:, 0]
