"""The seam between the loop and the trackers."""

from __future__ import annotations

import pytest

from univs.trackers.tracker import Clip, Span, found


def test_a_frame_of_a_clip_is_found_by_its_index() -> None:
    clip = Clip(Span(4, 7, 5), ["four", "five", "six"], {})
    assert clip.frame(5) == "five" and clip.indices == range(4, 7)
    for index in (3, 7):
        with pytest.raises(IndexError, match=f"frame {index} is not in the clip"):
            clip.frame(index)


def test_what_is_offered_may_be_named_by_where_it_lies() -> None:
    assert found("univs.trackers.tracker:Span") is Span and found(Span) is Span
