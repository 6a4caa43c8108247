"""What carries masks: settings that are given go before those that a model brings along."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interactive.conftest import HEIGHT, WIDTH
from tests.streaming.conftest import small_model
from univs.errors import UserError
from univs.interactive.carriers import MemoryCarrier, PromptCarrier, carrier_of
from univs.masks.geometry import Geometry
from univs.models.space_time_memory import SpaceTimeMemory
from univs.trackers.space_time import FramePlaces

PLACES = FramePlaces(Geometry.fit(HEIGHT, WIDTH))


@pytest.mark.parametrize(
    ("given", "top_k", "interval"),
    [({}, 3, 5), ({"top_k": 7, "memory_interval": 2}, 7, 2), ({"top_k": None}, None, 5)],
)
def test_of_a_space_time_memory(
    network: SpaceTimeMemory, given: dict[str, Any], top_k: int | None, interval: int
) -> None:
    carrier = carrier_of(network, PLACES, given)
    assert isinstance(carrier, MemoryCarrier) and network.streaming == {"top_k": 3}
    assert (carrier.settings.top_k, carrier.settings.memory_interval) == (top_k, interval)


def test_of_a_univs_with_a_memory_of_its_own() -> None:
    model = small_model()
    for given, interval in (({}, 3), ({"memory_interval": 7}, 7)):
        carrier = carrier_of(model, PLACES, given)
        assert isinstance(carrier, PromptCarrier) and model.streaming["dense_interval"] == 3
        assert carrier.settings.memory_interval == interval
    with pytest.raises(UserError, match="unknown setting 'top_k'; known: directions, memory_frames, memory_interval"):
        carrier_of(model, PLACES, {"top_k": 3})
