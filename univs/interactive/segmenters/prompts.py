"""UniVS itself as the segmenter: clicks, strokes and a box are prompts, and the mask so far is one as well."""

from __future__ import annotations

import numpy as np

from univs.interactive.interactions import Interactions, Kind, Stroke
from univs.interactive.segmenters.segmenter import Frame, Probabilities
from univs.models.univs import UniVS
from univs.prompts import Box, Mask, Points, Prompt, Scribble
from univs.streaming.session import Session

DOTS = 4
"""Clicks that stand for a stroke beside the object, at even distances along it."""


class PromptSegmenter:
    """Answers with the prompts of a video of one frame, or, where there is a mask so far, of that frame twice: first
    with the mask, then with what corrects it.

    Args:
        model: any UniVS.
        size: short side at which it looks; None: its own.
    """

    takes: frozenset[Kind] = frozenset({"strokes", "clicks", "box"})

    def __init__(self, model: UniVS, size: int | None = None) -> None:
        self.model, self.size = model, size

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """As `Segmenter`; the answer is 0 or 1."""
        height, width = current.shape
        prompts = as_prompts(said, height, width)
        session = Session(self.model, task="vos", size=self.size, keep_results=False)
        before = current > 0.5
        if before.any():
            session.step(frame, [Mask(1, before)])
        elif not any(said_to_be_there(prompt) for prompt in prompts):
            return np.zeros((height, width), np.float32)
        return (session.step(frame, prompts).labels == 1).astype(np.float32)


def as_prompts(said: Interactions, height: int, width: int) -> list[Prompt]:
    """What was said about object 1, as prompts of a frame of that size."""
    prompts: list[Prompt] = []
    clicks = [((click.x, click.y), click.positive) for click in said.clicks]
    for stroke in said.strokes:
        if not stroke.positive:
            clicks += [(place, False) for place in dots(stroke)]
    strokes = [
        [(_share(x, width), _share(y, height)) for x, y in stroke.xy] for stroke in said.strokes if stroke.positive
    ]
    if strokes:
        prompts.append(Scribble(1, strokes))
    if clicks:
        inside = [((min(max(x, 0), width - 1), min(max(y, 0), height - 1)), sign) for (x, y), sign in clicks]
        prompts.append(Points(1, [place for place, _ in inside], [sign for _, sign in inside]))
    if said.box is not None:
        prompts.append(Box(1, said.box))
    return prompts


def said_to_be_there(prompt: Prompt) -> bool:
    """Whether a prompt says where the object is, and not only where it is not."""
    return not isinstance(prompt, Points) or any(prompt.labels)


def dots(stroke: Stroke) -> list[tuple[float, float]]:
    """`DOTS` places at even distances along a stroke, its ends among them; its one place if it has no length."""
    points = np.array(stroke.xy, float)
    lengths = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    if lengths[-1] == 0:
        return [stroke.xy[0]]
    at = np.linspace(0, lengths[-1], DOTS)
    return [(float(np.interp(d, lengths, points[:, 0])), float(np.interp(d, lengths, points[:, 1]))) for d in at]


def _share(place: float, pixels: int) -> float:
    """Of the frame, as scribbles are given: 0 for the first pixel, 1 for the last."""
    last = max(pixels - 1, 1)
    return min(max((round(place) + 0.25) / last, 0.0), 1.0)  # a quarter: scribbles are rounded down
