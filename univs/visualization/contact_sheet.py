"""Many frames on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from univs.visualization.overlay import text_font

_PAGE = (24, 25, 30)
_INK = (225, 226, 232)
_FAINT = (150, 153, 165)


def contact_sheet(
    frames: Sequence[NDArray[np.uint8]],
    captions: Sequence[str] | None = None,
    *,
    title: str = "",
    columns: int | None = None,
    width: int = 1280,
) -> NDArray[np.uint8]:
    """Frames in a grid, left to right and down, each with its caption below.

    frames: RGB uint8 h x w x 3, all with the first one's proportions (others are fitted into its cell). width: of the
    page in pixels. columns: as many as give a page a little wider than high, if None. Result: H x width x 3 RGB uint8.
    Raises ValueError without frames or with another number of captions.
    """
    if not frames:
        raise ValueError("a contact sheet needs at least one frame")
    if captions is not None and len(captions) != len(frames):
        raise ValueError(f"{len(frames)} frames but {len(captions)} captions")
    height, frame_width = frames[0].shape[:2]
    if columns is None:
        columns = min(len(frames), max(1, round(math.sqrt(len(frames) * height / frame_width * 1.6))))
    gap = max(6, width // 128)
    cell_width = (width - gap * (columns + 1)) // columns
    cell_height = max(1, round(cell_width * height / frame_width))
    text_size = max(11, width // 90)
    caption_height = round(text_size * 1.7) if captions is not None else 0
    head = round(text_size * 2.9) if title else gap
    rows = math.ceil(len(frames) / columns)
    page = Image.new("RGB", (width, head + rows * (cell_height + caption_height + gap)), _PAGE)
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((gap, head / 2), title, font=text_font(round(text_size * 1.35)), fill=_INK, anchor="lm")
    for number, frame in enumerate(frames):
        x = gap + number % columns * (cell_width + gap)
        y = head + number // columns * (cell_height + caption_height + gap)
        picture = Image.fromarray(frame)
        scale = min(cell_width / picture.width, cell_height / picture.height)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        page.paste(
            picture.resize(size, Image.Resampling.LANCZOS),
            (x + (cell_width - size[0]) // 2, y + (cell_height - size[1]) // 2),
        )
        if captions is not None:
            middle = y + cell_height + caption_height / 2
            draw.text((x + 2, middle), captions[number], font=text_font(text_size), fill=_FAINT, anchor="lm")
    return np.asarray(page).copy()
