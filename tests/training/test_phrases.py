"""How a person may ask for what a data set calls by one name."""

from __future__ import annotations

import numpy as np

from univs.training.phrases import FRAMES, OTHER_NAMES, may_mean, phrase


def test_phrases_of_a_name() -> None:
    rng = np.random.default_rng(0)
    said = {phrase("bicycle", rng) for _ in range(200)}
    assert {"bicycle", "the bicycle", "a bike", "the cycle in the picture"} < said
    assert {phrase("wug", rng) for _ in range(100)} == {frame.format("wug") for frame in FRAMES}


def test_how_often_another_name_is_said() -> None:
    """Four times of ten, each of the others alike."""
    rng = np.random.default_rng(0)
    said = [phrase("bicycle", rng) for _ in range(1500)]
    assert np.mean(["bicycle" not in text for text in said]).round(1) == 0.4
    bikes, cycles = (np.mean([f" {name} " in f" {text} " for text in said]) for name in ("bike", "cycle"))
    assert abs(bikes - 0.2) < 0.04 and abs(cycles - 0.2) < 0.04
    shares = [np.mean([text == frame.format("bicycle") for text in said]) for frame in FRAMES]
    assert max(abs(share - 0.1) for share in shares) < 0.03


def test_names_that_may_mean_one_another() -> None:
    assert may_mean("wug", "wug") and may_mean("dog", "cat"), "both are animals"
    assert may_mean("bus", "truck") and not may_mean("dog", "car") and not may_mean("wug", "dog")
    assert "house" in OTHER_NAMES["building"] and may_mean("building", "house") and may_mean("house", "building")
    assert may_mean("grass", "lawn") and may_mean("lawn", "grass"), "one name is another way to say the other"
