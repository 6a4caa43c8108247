from __future__ import annotations

import torch

from univs.training.released import ReleasedSettings


def test_the_numbers_are_those_of_the_release() -> None:
    """Stage 2 of the R50 model (UniVS, supplement; its configuration)."""
    assert ReleasedSettings() == ReleasedSettings(5, 5, 5, 0.5, 112 * 112, 20, 32, "sep", "objects", "own", "own")


def test_what_has_no_weight_of_its_own_is_weighed_as_reidentification() -> None:
    names = ("class", "mask", "dice", "reid", "reid_aux", "reid_l2p", "reid_l2p_aux")
    terms = {name: torch.tensor([1.0, 2.0]) for name in names}
    found = ReleasedSettings(2, 3, 4, 0.25).weighted(terms)
    assert [values.tolist() for values in found.values()] == [[2, 4], [3, 6], [4, 8], *[[0.25, 0.5]] * 4]
