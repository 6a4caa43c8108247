"""Clips of the built-in world, as the writers of public layouts take them."""

from __future__ import annotations

import pytest

from univs.data.sample import VideoSample
from univs.data.synth import SynthVS


@pytest.fixture(scope="session")
def synth_clips() -> list[VideoSample]:
    """Two clips of five frames, 48 x 80 pixels, with several things each."""
    world = SynthVS("val", (48, 80), 5, seed=3)
    return [world[1], world[2]]
