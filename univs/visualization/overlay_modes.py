"""Three ways of the interactive tools to show masks over a frame: davis, fade and light (MiVOS).

Objects are tinted and outlined in black; in `fade` what is no object is darker, in `light` the tint is faint.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.visualization.palette import RGB, object_color

Mode = Literal["davis", "fade", "light"]
KEPT = {"davis": 0.5, "fade": 0.5, "light": 0.9}
"""Share of the frame in what is shown of an object."""
DARKER = 0.6
"""Share of the frame in what is no object, in `fade`."""
COLOURS: tuple[RGB, ...] = (
    (255, 50, 50),
    (50, 255, 50),
    (50, 50, 255),
    (255, 50, 255),
    (50, 255, 255),
    (255, 255, 50),
)
"""Of the first objects; later ones have those of `palette.object_color`."""


def overlay_mode(frame: NDArray[np.uint8], labels: NDArray[Any], mode: Mode = "davis") -> NDArray[np.uint8]:
    """The frame, H W 3 RGB, with its objects (labels H W, 0 is none) shown in one of the modes: a new array.

    Raises UserError for an unknown mode.
    """
    if mode not in KEPT:
        raise UserError(f"overlay mode {mode!r}: {', '.join(get_args(Mode))} are known")
    kept = KEPT[mode]
    shown = frame.astype(np.float64)
    if mode == "fade":
        shown *= DARKER
    outlines = np.zeros(labels.shape, bool)
    for number in np.unique(labels[labels != 0]).tolist():
        inside = labels == number
        colour = COLOURS[number - 1] if number <= len(COLOURS) else object_color(number)
        shown[inside] = frame[inside] * kept + np.array(colour) * (1 - kept)
        outlines |= _grown(inside) & ~inside
    result: NDArray[np.uint8] = shown.astype(np.uint8)  # rounded down (official)
    result[outlines] = 0
    return result


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask and its neighbours above, below, left and right."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
