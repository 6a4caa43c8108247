"""What is said on a frame becomes masks there, and goes through the video when asked to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from univs.interactive.corrections import CorrectedVideo
from univs.interactive.interactions import Stroke
from univs.interactive.segmenters import PaintingSegmenter
from univs.interactive.session import Session


def test_rounds_of_painting(new_session: Callable[..., Session]) -> None:
    with new_session() as session:
        video = CorrectedVideo(session, PaintingSegmenter(), (1, 4))
        first, second = Stroke(((5, 8), (30, 8)), size=5), Stroke(((5, 20), (30, 20)), size=5)
        video.interact(3, [(1, first), (4, second)], propagate=False)
        labels = video.labels(3)
        assert (labels[8, 5:31] == 1).all() and (labels[20, 5:31] == 4).all() and labels[14, 10] == 0
        assert not video.labels(0).any() and session.pending == (3,)
        video.interact(3, [(0, Stroke(((5, 8), (12, 8)), size=5))])
        assert not video.labels(3)[8, 5:12].any() and (video.labels(3)[8, 18:31] == 1).all()
        assert session.pending == () and session.interacted == (3,)
        assert any(video.labels(t).any() for t in range(9) if t != 3)
        before = np.array(video.labels(3))
        video.interact(6, [(4, second)])
        assert np.array_equal(video.labels(3), before)
