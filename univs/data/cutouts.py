"""Objects cut out of photos, and pasting them on frames with soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univs.data.warps import covered_window, opencv, source_map

MARGIN = 6


@dataclass(frozen=True)
class CutOut:
    """An object without its surroundings."""

    rgba: np.ndarray  # h w 4 uint8; beyond the object the colours are continued, alpha is 0
    area: int  # pixels of the object

    @property
    def origin(self) -> tuple[float, float]:
        """Centre of its box, pixels x y."""
        return (self.rgba.shape[1] - 1) / 2, (self.rgba.shape[0] - 1) / 2

    def shrunk(self, ratio: float) -> CutOut:
        """The same object at a smaller scale."""
        cv2 = opencv()
        height, width = self.rgba.shape[:2]
        size = (max(8, round(width * ratio)), max(8, round(height * ratio)))
        return CutOut(cv2.resize(self.rgba, size, interpolation=cv2.INTER_AREA), round(self.area * ratio**2))


def cut_out(image: np.ndarray, mask: np.ndarray, softness: float = 0.8) -> CutOut:
    """Object under `mask` (H W bool, not empty) of `image` H W 3; the edge is blurred by `softness` pixels."""
    cv2 = opencv()
    xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    box = np.s_[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    pad = (MARGIN,) * 4
    inside = cv2.copyMakeBorder(mask[box].astype(np.float32), *pad, cv2.BORDER_CONSTANT, value=0.0)
    colours = cv2.copyMakeBorder(image[box], *pad, cv2.BORDER_REPLICATE)
    # Colours beyond the outline come from the object itself: no rim of the old background shows after warping.
    weight = cv2.GaussianBlur(inside, (0, 0), 2.0)
    spread = cv2.GaussianBlur(colours * inside[..., None], (0, 0), 2.0) / np.maximum(weight, 1e-4)[..., None]
    core = cv2.erode(inside, np.ones((3, 3), np.uint8))[..., None] > 0
    rgb = np.where(core, colours, np.clip(spread, 0, 255).astype(np.uint8))
    alpha = cv2.GaussianBlur(inside, (0, 0), softness) * 255
    return CutOut(np.dstack([rgb, np.rint(alpha).astype(np.uint8)]), int(mask[box].sum()))


def paste(
    frame: np.ndarray,
    labels: np.ndarray,
    cut: CutOut,
    forward: np.ndarray,
    number: int,
    *,
    field: np.ndarray | None = None,
    opacity: float = 1.0,
    smear: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Draws an object on frame S S 3 and its number on labels S S, in place.

    A pixel gets the number where the object's alpha exceeds one half. `forward` 2 3 maps cut-out to frame pixels,
    `field` G G 2 bends the object (cut-out pixels), `smear` x y is the way in pixels it moves while the shutter is
    open; `opacity` fades the colours, not the label.
    """
    cv2 = opencv()
    reach = MARGIN + (0.0 if field is None else float(np.abs(field).max())) + float(np.hypot(*smear))
    source = cut.rgba.shape[:2]
    window = covered_window(forward, source, reach, frame.shape[0])
    if window is None:
        return
    taken = source_map(forward, field, source, window)
    layer = cv2.remap(cut.rgba, taken, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    alpha = layer[..., 3].astype(np.float32) * (1 / 255)
    colours = layer[..., :3] * alpha[..., None]
    if np.hypot(*smear) >= 2:
        kernel = line_kernel(*smear)
        colours, alpha = cv2.filter2D(colours, -1, kernel), cv2.filter2D(alpha, -1, kernel)
    x0, y0, x1, y1 = window
    beneath = frame[y0:y1, x0:x1]
    blended = beneath * (1 - opacity * alpha[..., None]) + opacity * colours
    frame[y0:y1, x0:x1] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)
    labels[y0:y1, x0:x1][alpha > 0.5] = number


def line_kernel(x: float, y: float) -> np.ndarray:
    """Motion blur along (x, y) pixels: a square kernel of sum 1 holding an anti-aliased centred line."""
    cv2 = opencv()
    radius = int(np.ceil(max(abs(x), abs(y)) / 2)) + 1
    kernel = np.zeros((2 * radius + 1,) * 2, np.uint8)
    ends = [(round((radius + s * x / 2) * 16), round((radius + s * y / 2) * 16)) for s in (-1, 1)]
    cv2.line(kernel, *ends, 255, 1, cv2.LINE_AA, 4)
    return (kernel / kernel.sum()).astype(np.float32)
