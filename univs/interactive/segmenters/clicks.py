"""Clicks to a mask by f-BRS: forward passes, and few numbers that are fitted until the clicks are met.

Source: Sofiiuk et al., "f-BRS: Rethinking Backpropagating Refinement for Interactive Segmentation", CVPR 2020: variant
B, which scales and shifts features, and its zoom-in. Each image is seen together with its mirror image;
logits are averaged.

Shapes: H W pixels of the frame, h w of the crop that the network sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.interactive.interactions import Click, Interactions, Kind
from univs.interactive.segmenters.segmenter import Frame, Probabilities
from univs.models.fbrs import WIDTH, ClickNetwork, distance_maps

CLICKS = 8
"""Clicks that the network is told of, the first ones; all of them are fitted to."""
TARGET = 480
"""Longer side of the crop that the network sees, pixels."""
EXPANSION, SMALLEST, MOVED = 1.4, 200, 0.5
"""Of the crop: its size as a multiple of the object's box, its least side, the IoU below which it is chosen anew."""
EVALUATIONS = 20
"""Of the head in one fit, at most."""
REGULARISATION = 1e-3
MET = 0.49
"""A click is met where the probability is beyond this, seen from the wrong side."""
KEPT = 8
"""Objects of a frame whose refinement is kept, each as large as a map of the frame."""


@dataclass(frozen=True)
class Crop:
    """A part of the frame, pixels; right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def iou(self, other: Crop) -> float:
        """Intersection over union."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(across, 0) * max(down, 0)
        return shared / (self.area + other.area - shared)

    @property
    def area(self) -> int:
        """Pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def holds(self, click: Click) -> bool:
        """Whether a click lies in it."""
        return self.left <= click.x < self.right and self.top <= click.y < self.bottom


def crop_around(mask: NDArray[np.bool_], clicks: Sequence[Click]) -> Crop | None:
    """The box of the mask (H W) and of the clicks on the object, enlarged; None where there is no mask."""
    if not mask.any():
        return None
    height, width = mask.shape
    on = [click for click in clicks if click.positive]
    sides = []
    for axis, places in ((1, [c.y for c in on]), (0, [c.x for c in on])):
        found = np.flatnonzero(mask.any(axis))
        first, last = min(float(found[0]), *places, np.inf), max(float(found[-1]), *places, -np.inf)
        middle = (first + last) / 2
        reach = max(EXPANSION * (last - first + 1), SMALLEST) / 2
        size = height if axis == 1 else width
        sides.append((max(0, int(np.rint(middle - reach))), min(size, int(np.rint(middle + reach)) + 1)))
    (top, bottom), (left, right) = sides
    return Crop(left, top, right, bottom)


class Refinement:
    """One object on one frame, click by click.

    Args:
        network: in eval mode, its parameters not trained.
        frame: H W 3.
        zoom: whether the network sees a crop once there is a mask (after the first click); else the frame as it is.
    """

    def __init__(self, network: ClickNetwork, frame: Frame, *, zoom: bool = True) -> None:
        self.network, self.frame, self.zoom = network, frame, zoom
        self.clicks: list[Click] = []
        self.probability: Probabilities = np.zeros(frame.shape[:2], np.float32)
        self._whole = Crop(0, 0, frame.shape[1], frame.shape[0])
        self._crop: Crop | None = None
        self._fitted = np.zeros(2 * WIDTH)

    def click(self, click: Click) -> Probabilities:
        """The mask after another click, H W."""
        self.clicks.append(click)
        crop = self._choose_crop()
        if crop != self._crop:
            self._crop, self._fitted = crop, np.zeros_like(self._fitted)
        seen = self._whole if crop is None else crop
        image, clicks = self._seen(seen, resized=crop is not None)
        logits = self._answer(image, clicks)
        part = F.interpolate(
            logits.sigmoid(), (seen.bottom - seen.top, seen.right - seen.left), mode="bilinear", align_corners=True
        )
        self.probability = np.zeros(self.probability.shape, np.float32)
        self.probability[seen.top : seen.bottom, seen.left : seen.right] = part[0, 0].cpu().numpy()
        return self.probability

    def _choose_crop(self) -> Crop | None:
        """None for the whole frame: without zoom, and where there is no mask to zoom at."""
        if not self.zoom or len(self.clicks) < 2:
            return None
        wanted, crop = crop_around(self.probability > 0.5, self.clicks), self._crop
        if wanted is None or crop is None or not all(crop.holds(c) for c in self.clicks if c.positive):
            return wanted
        return crop if wanted.iou(crop) >= MOVED else wanted

    def _seen(self, crop: Crop, resized: bool) -> tuple[Tensor, list[Click]]:
        """What the network sees of the image, 1 3 h w, and the clicks in its pixels."""
        pixels = np.require(self.frame[crop.top : crop.bottom, crop.left : crop.right], requirements=("C", "W"))
        mean, std = torch.tensor(self.network.pixel_mean), torch.tensor(self.network.pixel_std)
        image = ((torch.from_numpy(pixels).float() - mean) / std).permute(2, 0, 1)[None]
        if not resized:
            return image, self.clicks
        height, width = image.shape[2:]
        factor = TARGET / max(height, width)
        size = round(height * factor), round(width * factor)
        down, across = size[0] / height, size[1] / width
        moved = [Click((c.x - crop.left) * across, (c.y - crop.top) * down, c.positive) for c in self.clicks]
        return F.interpolate(image, size, mode="bilinear", align_corners=True), moved

    def _answer(self, image: Tensor, clicks: Sequence[Click]) -> Tensor:
        """Logits 1 1 h w: the mean of those of the image and of its mirror image."""
        size = (image.shape[2], image.shape[3])
        told = clicks[:CLICKS]
        maps = distance_maps(
            [(c.x, c.y) for c in told if c.positive], [(c.x, c.y) for c in told if not c.positive], size
        )
        device = next(self.network.parameters()).device
        images, both = (torch.cat([x, x.flip(3)]).to(device) for x in (image, maps))
        with torch.no_grad():
            features = self.network.features(images, both)
            logits = self.network.logits(features, size)
        if len(clicks) > 1:
            logits, self._fitted = fit(self.network, features, clicks, size, self._fitted)
        return (logits[:1] + logits[1:].flip(3)) / 2


def fit(
    network: ClickNetwork, features: Tensor, clicks: Sequence[Click], size: tuple[int, int], start: NDArray[np.float64]
) -> tuple[Tensor, NDArray[np.float64]]:
    """Scale and shift features until the clicks are met (f-BRS, eq. 4 and 5), by L-BFGS from `start`.

    Args:
        features: of an image and of its mirror image, 2 C h/4 w/4.
        clicks: in pixels of the image.
        size: h and w.
        start: C changes of the scale, then C shifts.
    Returns:
        The best logits, 2 1 h w, and the numbers from which the next fit starts.
    """
    from scipy.optimize import minimize

    on, off = (around([c for c in clicks if c.positive == sign], size).to(features.device) for sign in (True, False))
    best: tuple[float, Tensor] | None = None

    def energy(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal best
        change = torch.tensor(numbers, dtype=torch.float32, device=features.device, requires_grad=True)
        scale, shift = change.split(WIDTH)
        with torch.enable_grad():
            logits = network.logits(features, size, 1 + scale[None], shift[None])
            p = logits.sigmoid()
            missed = _mean_square((1 - p) * on, on) + _mean_square(p * off, off)
            loss = missed.mean() + REGULARISATION * change.square().sum()
        value = float(loss.detach())
        if best is None or value < best[0]:
            best = value, logits.detach()
        seen = p.detach()
        if float(((1 - seen) * on).max()) < 1 - MET and float((seen * off).max()) < MET:
            return 0.0, np.zeros_like(numbers)  # all are met: nothing is left to fit
        (gradient,) = torch.autograd.grad(loss, change)
        return value, gradient.double().cpu().numpy()

    found = minimize(energy, start, jac=True, method="L-BFGS-B", options={"maxfun": EVALUATIONS, "maxcor": 20})
    assert best is not None
    return best[1], found.x


def around(clicks: Sequence[Click], size: tuple[int, int]) -> Tensor:
    """1 in what lies in the image of the 3 x 3 pixels around each click, for it and its mirror image: 2 1 h w."""
    marked = torch.zeros(1, 1, *size)
    for click in clicks:
        x, y = round(click.x), round(click.y)
        marked[..., max(y - 1, 0) : max(y + 2, 0), max(x - 1, 0) : max(x + 2, 0)] = 1
    return torch.cat([marked, marked.flip(3)])


def _mean_square(errors: Tensor, marked: Tensor) -> Tensor:
    """Mean of the squares where it is marked, of each image; 0 where nothing is."""
    return errors.square().sum((1, 2, 3)) / marked.sum((1, 2, 3)).clamp_min(1)


class ClickSegmenter:
    """Clicks of one object; the mask so far is not seen, only what was clicked at: those it came of, and those since.

    The newest `KEPT` objects of the newest frame go on from the clicks that they have had, others begin with the first
    one, which takes longer and gives the same.

    Args:
        network: in eval mode, its parameters not trained.
        zoom: see `Refinement`.
    """

    takes: frozenset[Kind] = frozenset({"clicks"})

    def __init__(self, network: ClickNetwork, *, zoom: bool = True) -> None:
        self.network, self.zoom = network.requires_grad_(False), zoom
        self._frame: Frame = np.zeros((0, 0, 3), np.uint8)
        self._kept: list[Refinement] = []

    def segment(self, frame: Frame, current: Probabilities, said: Interactions) -> Probabilities:
        """As `Segmenter`."""
        if not np.array_equal(self._frame, frame):
            self._frame, self._kept = np.array(frame), []  # a copy: the caller's may be written over
        clicks = [*said.earlier, *said.clicks]
        going = [one for one in self._kept if one.clicks == clicks[: len(one.clicks)]]
        chosen = max(going, key=lambda one: len(one.clicks), default=None)
        if chosen is None:
            chosen = Refinement(self.network, self._frame, zoom=self.zoom)
        for click in clicks[len(chosen.clicks) :]:
            chosen.click(click)
        self._kept = [*(one for one in self._kept if one is not chosen), chosen][-KEPT:]
        return chosen.probability.copy()
