"""What label maps ask of the model."""

from __future__ import annotations

import torch

from univs.masks.meanings import IGNORE
from univs.training.aim import read_aim


def test_targets_of_label_maps() -> None:
    labels = torch.tensor([[[[3, 0], [7, IGNORE]]]], dtype=torch.uint8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    aim = read_aim(labels, torch.tensor([[7, 0]]))
    assert aim.masks.shape == (1, 2, 1, 16, 16) and aim.quarter.shape == (1, 2, 1, 4, 4)
    assert float(aim.masks[0, 0].sum()) == 64 and float(aim.masks[0, 1].sum()) == 0
    assert aim.quarter[0, 0, 0, 2:, :2].eq(1).all()
    assert aim.classes.unique().tolist() == [0, 1, IGNORE]  # object 3 is no target: background
    assert aim.valid.tolist() == [[True, False]]


def test_every_pixel_of_every_clip_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 9, 255], dtype=torch.uint8)[torch.randint(0, 4, (2, 3, 8, 8), generator=generator)]
    targets = torch.tensor([[9, 1], [1, 0]])
    aim = read_aim(labels, targets)
    for b, t, y, x in torch.cartesian_prod(*map(torch.arange, labels.shape)).tolist():
        label, wanted = int(labels[b, t, y, x]), targets[b].tolist()
        number = 255 if label == 255 else wanted.index(label) + 1 if label and label in wanted else 0
        assert int(aim.classes[b, t, y, x]) == number
        assert aim.masks[b, :, t, y, x].tolist() == [float(number == m) for m in (1, 2)]
    blocks = aim.masks.unflatten(4, (2, 4)).unflatten(3, (2, 4)).mean((4, 6))
    torch.testing.assert_close(aim.quarter, blocks)
