"""Rotated boxes drawn around their objects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from univs.results import Corners
from univs.visualization.palette import object_color


def draw_rotated_boxes(frame: NDArray[np.uint8], boxes: Mapping[int, Corners]) -> NDArray[np.uint8]:
    """The frame with the boxes of objects (`FrameResult.rotated_boxes`), each in its object's colour with a white rim.

    frame: H x W x 3 RGB uint8; corners in its pixels. Result: H x W x 3 RGB uint8, the frame itself without boxes.
    """
    if not boxes:
        return frame
    stroke = max(1, round(min(frame.shape[:2]) / 240))
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    for object_id, corners in boxes.items():
        around = [(float(x), float(y)) for x, y in (*corners, corners[0])]
        draw.line(around, fill=(255, 255, 255), width=3 * stroke, joint="curve")
        draw.line(around, fill=object_color(object_id), width=stroke, joint="curve")
    return np.array(picture)
