"""A video that is corrected by hand: what is said on a frame becomes masks there, and these go through the video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from univs.interactive.interactions import Click, Stroke, about_each
from univs.interactive.segmenters import Segmenter
from univs.interactive.session import Session


class CorrectedVideo:
    """A session with objects that are known from the start, and a segmenter for its frames.

    Args:
        session: without objects.
        segmenter: makes masks of what is said on one frame.
        object_ids: of the objects.
    """

    def __init__(self, session: Session, segmenter: Segmenter, object_ids: Sequence[int]) -> None:
        self.session, self.segmenter, self.object_ids = session, segmenter, tuple(object_ids)
        for number in self.object_ids:
            session.add_object(object_id=number)

    def interact(self, index: int, said: Sequence[tuple[int, Stroke | Click]], *, propagate: bool = True) -> None:
        """Strokes and clicks on a frame, each with the object that it is for (0: the background), oldest first.

        propagate: carry the masks through the video as well, up to the next frame with masks of its own.
        """
        self.session.segment(index, self.segmenter, about_each(said, self.object_ids))
        if propagate:
            self.session.propagate(index)

    def labels(self, index: int) -> NDArray[np.integer]:
        """H W ids of a frame as they are now, 0 for none."""
        return self.session.result(index).labels
