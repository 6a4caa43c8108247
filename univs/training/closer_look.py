"""A closer look in training: squares around prompted objects, with the model's own first answers, and the true masks.

Shapes: F frames of S x S pixels, K prompted objects of a frame (id 0 = none), A answers, N objects looked at, s pixels
and c cells to a side of a square.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from univs.data.prompt_drawing import KINDS
from univs.losses import answer_ious
from univs.losses.counting import ALONE, Counting
from univs.losses.refinement import refinement_losses
from univs.masks.meanings import IGNORE
from univs.models.mask_refiner import MaskRefiner, Squares, cut, said_maps, squares_around
from univs.models.univs import UniVS

FINER = 2
"""The masks of squares are compared at so many times their size."""
LARGER, SMALLER = 1.27, 0.8
"""The side of a square may be so many times what it is at inference."""
SHIFT = 0.07
"""Share of its side by which a square is shifted, either way, at most."""
UNTOLD = 0.5
"""Share of the boxes and clicks that come without a mask so far: on what it was trained on a model is better than
elsewhere, and its masks would be trusted too much."""
ASTRAY = 0.08
"""The mask so far lies beside its place by this share of the square's side, either way, at most, and is as much larger
or smaller: where the object ends, the picture has to say."""
BEST = 0.5
"""Share of the clicks of which the best answer is looked at; of the others any."""
FITTING = 0.5
"""IoU from which on an answer is one that should become the true mask, were another one better, too."""


class CloserLooks:
    """Losses of the closer look at objects that were prompted.

    Args:
        model: with a `mask_refiner`.
        objects: of a frame, looked at on average.
        counting: of the objects that losses are means over.
    """

    def __init__(self, model: UniVS, objects: int, counting: Counting = ALONE) -> None:
        assert model.mask_refiner is not None
        self.model, self.objects, self.counting = model, objects, counting
        self.refiner: MaskRefiner = model.mask_refiner

    def __call__(
        self, images: Tensor, labels: Tensor, drawn: Mapping[str, Tensor], masks: Tensor, quality: Tensor
    ) -> Tensor:
        """The loss: twice the cross-entropy, and dice.

        Args:
            images: F 3 S S normalised.
            labels: F S S object ids, 0 background, 255 unknown.
            drawn: prompts of K objects of each frame (`FramePrompts`).
            masks: F K A S/4 S/4 logits; quality: F K A.
        """
        ids, size = drawn["ids"], (images.shape[-2], images.shape[-1])
        frames, count = ids.shape
        rows = chosen_rows(ids > 0, min(self.objects * frames, frames * count))
        frame, ids, kinds = rows // count, ids.flatten()[rows], drawn["kinds"].flatten()[rows]
        own = labels[frame] == ids[:, None, None]
        unknown = labels[frame] == IGNORE
        boxed = kinds == KINDS.index("box")
        boxes = drawn["boxes"].flatten(0, 1)[rows, None]
        points, signs = drawn["points"].flatten(0, 1)[rows], drawn["signs"].flatten(0, 1)[rows]
        with torch.no_grad():
            answers, thought = masks.detach().flatten(0, 1)[rows], quality.flatten(0, 1)[rows]
            ious = answer_ious(answers[:, None], own[:, None].float(), unknown)[:, 0]  # each frame as one of its own
            place = answered(ious, thought, boxed)
            prior = answers.gather(1, place[:, None, None, None].expand(-1, 1, *answers.shape[2:]))
            fit = ious.gather(1, place[:, None])[:, 0]
            learns = boxed | (fit >= ious.amax(1)) | (fit > FITTING)
            squares = moved(squares_around(prior[:, 0], boxes, points, signs))
            every = torch.arange(len(rows), device=rows.device)
            astray = moved(squares, ASTRAY, 1 - ASTRAY, 1 + ASTRAY)
            before = cut(prior.float().sigmoid(), every, astray, self.refiner.cells, size)[:, 0]
            shown = boxed | (signs >= 0).any(1)
            told = (torch.rand(len(rows), device=rows.device) >= UNTOLD) | ~shown
            said = said_maps(before * told[:, None, None], boxes, points, signs, squares)
            looked = cut(images, frame, squares, self.refiner.side, size)
            cells = FINER * self.refiner.cells
            both = torch.stack([own, ~unknown], 1).float()
            truth, known = cut(both, every, squares, cells, size).unbind(1)
        refined = self.model.refine(looked, said)
        learns = learns & (ids > 0)
        found = refinement_losses(refined, (truth > 0.5).float(), known > 0.99, learns, self.counting)
        return 2 * found["mask"] + found["dice"]


def chosen_rows(there: Tensor, count: int) -> Tensor:
    """`count` of the rows of F K bool, flattened: drawn from those that are there, filled up with others."""
    order = there.flatten() + torch.rand(there.numel(), device=there.device)
    return order.topk(count).indices


def answered(ious: Tensor, quality: Tensor, boxed: Tensor) -> Tensor:
    """Which of N A answers is looked at: the one thought best to a box, the best one or any to other prompts."""
    other = torch.where(torch.rand_like(quality[:, 0]) < BEST, ious.argmax(1), torch.rand_like(quality).argmax(1))
    return torch.where(boxed, quality.argmax(1), other)


def moved(squares: Squares, shift: float = SHIFT, smaller: float = SMALLER, larger: float = LARGER) -> Squares:
    """The same somewhat larger or smaller, and beside their place by up to a share of their side."""
    away = shift * (2 * torch.rand_like(squares.centre) - 1) * squares.side[:, None]
    stretch = smaller + (larger - smaller) * torch.rand_like(squares.side)
    return Squares(squares.centre + away, squares.side * stretch)
