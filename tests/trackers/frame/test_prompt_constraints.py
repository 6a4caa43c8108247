"""What boxes and clicks say for certain."""

from __future__ import annotations

import torch

from univs.masks.geometry import NOBODY
from univs.trackers.frame.prompt_constraints import around_points, inside_boxes


def test_nothing_of_a_boxed_object_lies_outside_its_box() -> None:
    logits = torch.ones(20, 30)
    kept = inside_boxes(logits, torch.tensor([[20.0, 12.0, 60.0, 52.0]])) > 0
    rows, columns = kept.nonzero().T
    # 5 % of 40 pixels and half a cell: 16..64 and 8..56, in cells of 4 pixels whose centres lie inside
    assert (int(columns.min()), int(columns.max())) == (4, 15)
    assert (int(rows.min()), int(rows.max())) == (2, 13)
    assert kept.sum() == 12 * 12
    both = inside_boxes(logits, torch.tensor([[0.0, 0.0, 8.0, 8.0], [100.0, 60.0, 120.0, 80.0]])) > 0
    assert bool(both[0, 0]) and bool(both[17, 27]) and not bool(both[10, 15])


def test_a_click_keeps_the_part_it_lies_in() -> None:
    logits = torch.full((10, 20), -1.0)
    logits[1:4, 1:5] = 2  # clicked
    logits[4, 5] = 2  # touches it at a corner
    logits[6:9, 10:15] = 2  # something that looks alike
    logits[2, 5:13] = logits[2:6, 12] = 0  # undecided cells join nothing
    kept = around_points(logits, [(8.5, 9.0)])
    assert bool((kept[1:4, 1:5] == 2).all()) and float(kept[4, 5]) == 2
    assert bool((kept[6:9, 10:15] == NOBODY).all()) and bool((kept[2, 6:12] == 0).all())
    torch.testing.assert_close(around_points(logits, [(8.5, 9.0), (48.0, 30.0)]), logits)  # both clicked: both kept
    torch.testing.assert_close(around_points(logits, [(79.9, 2.0)]), logits)  # a miss decides nothing
