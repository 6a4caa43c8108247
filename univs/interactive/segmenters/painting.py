"""Free-hand painting: what the brush touches belongs to the object, what the rubber touches does not."""

from __future__ import annotations

import numpy as np

from univs.interactive.drawing import draw_stroke
from univs.interactive.interactions import Interactions, Kind
from univs.interactive.segmenters.segmenter import Frame, Probabilities


class PaintingSegmenter:
    """Strokes of any size, in the order in which they were drawn."""

    takes: frozenset[Kind] = frozenset({"strokes"})

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """As `Segmenter`: the mask so far with 1 where it was painted and 0 where it was erased."""
        painted = current.astype(np.float32, copy=True)
        for stroke in said.strokes:
            painted[draw_stroke(stroke, painted.shape)] = float(stroke.positive)
        return painted
