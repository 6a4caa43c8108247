"""Masks made wrong: how wrong, where, and that the same draws give the same mask."""

from __future__ import annotations

import numpy as np
import pytest

from univs.data.mask_noise import disturb_box, perturb, random_kernel, random_span


def disc(side: int = 96) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return (y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / 3) ** 2


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return np.count_nonzero(first & second) / np.count_nonzero(first | second)


@pytest.mark.parametrize("target", [0.95, 0.7, 0.4])
def test_masks_get_as_wrong_as_asked(target: float) -> None:
    found = []
    for seed in range(6):
        mask = disc()
        made = perturb(mask, np.random.default_rng(seed), target)
        assert np.array_equal(mask, disc()) and made.dtype == bool
        found.append(iou(mask, made))
    assert max(found) < target and np.mean(found) > target - 0.12
    again = perturb(disc(), np.random.default_rng(0), target)
    assert np.array_equal(again, perturb(disc(), np.random.default_rng(0), target))


def test_pieces_grow_and_shrink() -> None:
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 1
    changes = []
    for seed in range(60):
        made = half.copy()
        disturb_box(made, np.random.default_rng(seed))
        assert set(np.unique(made)) <= {0, 1}
        ys, xs = np.nonzero(made != half)
        assert not len(ys) or (np.ptp(ys) < 16 and np.ptp(xs) < 16)  # a quarter of a side at most
        changes.append(int(made.sum()) - int(half.sum()))
    assert min(changes) < 0 < max(changes)


def test_kernels_and_spans() -> None:
    rng = np.random.default_rng(0)
    kernels = [random_kernel(rng) for _ in range(200)]
    assert {k.shape[0] for k in kernels} == set(range(3, 10)) and all(k.any() for k in kernels)
    upper = [k for k in kernels if k[0].any() and not k[-1].any()]
    lower = [k for k in kernels if k[-1].any() and not k[0].any()]
    assert upper and lower
    spans = [random_span(rng, 40) for _ in range(300)]
    sizes = {span.stop - span.start for span in spans}
    assert min(sizes) == 2 and max(sizes) == 10
    assert min(span.start for span in spans) == 0 and max(span.stop for span in spans) == 40
    assert random_span(rng, 1) == slice(0, 1)
