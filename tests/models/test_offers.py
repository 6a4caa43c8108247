"""The numbers that a model brings along for following objects, and who follows them."""

from __future__ import annotations

from typing import Any

import pytest

from univs.models.offers import OFFERS, SHORT_SIDE, streaming_numbers
from univs.streaming.tasks import TASKS
from univs.trackers.tracker import found


@pytest.mark.parametrize(
    ("given", "way", "short_side"),
    [
        ({"rules": "own", "short_side": 300}, "frame", 300),
        ({"rules": "own"}, "frame", SHORT_SIDE),
        ({}, "frame", SHORT_SIDE),
        ({"rules": "official"}, "clip", 0),
        ({"way": "clip", "token_frames": 3}, "clip", 0),
        ({"way": "frame", "short_side": 0}, "frame", 0),
    ],
)
def test_numbers_of_earlier_files_mean_what_they_meant(given: dict[str, Any], way: str, short_side: int) -> None:
    numbers = streaming_numbers(given)
    assert (numbers["way"], numbers["short_side"]) == (way, short_side) and "rules" not in numbers
    assert numbers.get("token_frames") == given.get("token_frames")


def test_every_task_is_offered_both_ways_and_every_name_leads_somewhere() -> None:
    assert OFFERS.keys() == TASKS.keys() - {"zero_shot"}
    for offers in OFFERS.values():
        assert set(offers) == {"frame", "clip"}
        for tracker, settings in offers.values():
            assert callable(found(tracker)) and found(settings)() == found(settings)()
