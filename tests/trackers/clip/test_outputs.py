"""When the windows of the released evaluation are due."""

from __future__ import annotations

from univs.trackers.clip.outputs import Windows
from univs.trackers.tracker import Span


def test_windows_come_after_memory_and_every_length() -> None:
    windows = Windows(5, 5)
    due = []
    for start in range(40):
        if windows.begin():
            due.append(start - 1)
        windows.end(Span(start, start + 5, start + 1))
    assert due == [15, 25, 35]


def test_a_window_is_reported_once() -> None:
    windows = Windows(5, 1)
    windows.end(Span(11, 12, 12))
    assert windows.begin() and not windows.begin()


def test_their_length_is_a_multiple_of_five_beyond_the_least() -> None:
    assert [Windows(least, 5).length for least in (1, 5, 6, 10, 11)] == [10, 10, 15, 15, 20]
