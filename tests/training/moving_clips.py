"""Clips of two rectangles that move, with prompts of one kind."""

from __future__ import annotations

import numpy as np

from univs.data.clips import ClipSettings, PromptDraws, TrainingClip, prompt_clip


def moving(length: int) -> np.ndarray:
    """Two rectangles on T 64 64, 1 moving right and 2 up."""
    labels = np.zeros((length, 64, 64), np.uint8)
    for t in range(length):
        labels[t, 8:30, 8 + 5 * t : 36 + 5 * t] = 1
        labels[t, 38 - 4 * t : 60 - 4 * t, 20:50] = 2
    return labels


def make_clip(
    labels: np.ndarray,
    targets: tuple[int, ...],
    kind: str = "mask",
    *,
    anew: int = 1,
    complete: bool = True,
    seed: int = 0,
) -> TrainingClip:
    """Coloured objects on grey, with noise; every prompt is of one kind."""
    rng = np.random.default_rng(seed)
    colours = rng.permutation(np.array([[90, 90, 90], [220, 60, 40], [40, 70, 220]], np.uint8))
    shown = colours[np.where(labels > 2, 0, labels)].astype(int)
    frames = np.clip(shown + rng.integers(-15, 15, shown.shape), 0, 255).astype(np.uint8)
    draws = ClipSettings({}, prompts=PromptDraws({kind: 1.0}, {kind: 1.0}, anew))
    return TrainingClip(frames, labels, targets, complete, "video", *prompt_clip(rng, labels, targets, draws))
