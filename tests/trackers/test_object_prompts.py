"""What is said about objects, where masks alone are of use."""

from __future__ import annotations

import numpy as np
import pytest

from univs.errors import UserError
from univs.prompts import Box, Mask, Points
from univs.trackers.object_prompts import by_object, shown_masks


def test_masks_of_one_object_are_united() -> None:
    left, right = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    left[:, 0], right[:, 3] = True, True
    found = shown_masks(by_object([Mask(2, left), Mask(1, right), Mask(2, right)]), "a network")
    assert list(found) == [2, 1]
    assert np.array_equal(found[2], left | right) and np.array_equal(found[1], right)


@pytest.mark.parametrize("other", [Box(1, (0, 0, 2, 2)), Points(1, [(1, 1)], [True])])
def test_anything_else_is_refused(other: Box | Points) -> None:
    shown = Mask(1, np.ones((4, 4), bool))
    with pytest.raises(UserError, match="object 1 is not shown by a mask, and a network takes nothing else"):
        shown_masks(by_object([other]), "a network")
    with pytest.raises(UserError, match="object 1 is not shown by a mask"):
        shown_masks(by_object([shown, other]), "a network")
