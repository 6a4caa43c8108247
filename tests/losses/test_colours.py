"""LAB against scikit-image."""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import rgb2lab

from univs.losses import lab, pooled_lab


def test_lab_of_all_kinds_of_colours() -> None:
    rng = np.random.default_rng(0)
    colours = np.concatenate([rng.integers(0, 256, (30, 40, 3)), rng.integers(0, 12, (4, 40, 3))]).astype(np.uint8)
    colours[0, 0], colours[0, 1] = 0, 255
    found = lab(torch.from_numpy(colours).permute(2, 0, 1))
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), rgb2lab(colours), atol=1e-4)


def test_cells_are_mean_colours_cut_off_to_whole_numbers() -> None:
    """Two by two pixels; the last row and column are no whole cell."""
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    means = np.zeros((2, 3, 3), np.uint8)
    for y in range(2):
        for x in range(3):
            means[y, x] = frame[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(-1, 3).astype(int).sum(0) // 4
    given = torch.from_numpy(frame).permute(2, 0, 1)[None]
    np.testing.assert_allclose(pooled_lab(given, 2)[0].permute(1, 2, 0).numpy(), rgb2lab(means), atol=1e-4)
    swapped = rgb2lab(means[..., ::-1])
    np.testing.assert_allclose(pooled_lab(given, 2, "bgr")[0].permute(1, 2, 0).numpy(), swapped, atol=1e-4)
