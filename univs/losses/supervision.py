"""What predicted masks are compared with: one protocol for prompts, for sets and for frames along a clip.

`mask_targets.MaskTargets` compares with full masks, `box_targets.BoxTargets` with boxes and colours.
Shapes: L predictions, B clips, T frames, G objects that there are to find, Q queries, P points, A answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from univs.losses.counting import ALONE, Counting
from univs.losses.matcher import Pairs
from univs.models.draws import Draws


class Targets(Protocol):
    """What is known of G objects of each of B clips, on T frames. Terms are weighted."""

    def costs(self, mask_logits: Tensor, points: Tensor) -> Tensor:
        """What it costs that a query answers for an object: L*B Q T h w, points L*B P 2 in 0..1 -> L*B Q G."""
        ...

    def matched(
        self, mask_logits: Tensor, pairs: Pairs, objects: Tensor | int, draws: Draws | None = None
    ) -> dict[str, Tensor]:
        """Terms of queries that answer for objects, L each.

        Args:
            mask_logits: L B Q T h w.
            pairs: indices into the L*B clips, queries and objects (`match`).
            objects: that the terms are means over.
            draws: of points, where there are any.
        """
        ...

    def prompted(self, mask_logits: Tensor, valid: Tensor, counting: Counting = ALONE) -> dict[str, Tensor]:
        """Terms of prompt queries, L each: query number g of L B G T h w answers for object g where valid, B G bool."""
        ...

    def answers(
        self, mask_logits: Tensor, quality: Tensor, valid: Tensor, counting: Counting = ALONE
    ) -> dict[str, Tensor]:
        """Terms of A answers to each prompt on a frame (T = 1), as `answer_losses` has them: B G A h w, B G A logits of
        the IoU, B G bool."""
        ...


def predictions_of(rows: Tensor, known: Tensor) -> int:
    """L of L*B rows, of whose B clips something is known; 1 without any."""
    return len(rows) // len(known) if len(known) else 1


def added(terms: Mapping[str, Tensor]) -> Tensor:
    """The sum of the terms, in their order."""
    return reduce(torch.add, terms.values())


@dataclass(frozen=True)
class EitherTargets:
    """Clips of which boxes alone are known, beside others with masks.

    A term of one kind is a mean over all objects, in which those of the other kind are 0.
    """

    masks: Targets
    boxes: Targets
    boxed: Tensor
    """B bool: of which clips boxes are known."""

    def costs(self, mask_logits: Tensor, points: Tensor) -> Tensor:
        boxed = self.boxed.repeat(predictions_of(mask_logits, self.boxed))[:, None, None]
        return torch.where(boxed, self.boxes.costs(mask_logits, points), self.masks.costs(mask_logits, points))

    def matched(
        self, mask_logits: Tensor, pairs: Pairs, objects: Tensor | int, draws: Draws | None = None
    ) -> dict[str, Tensor]:
        boxed = self.boxed[pairs[0] % max(len(self.boxed), 1)]
        found = {}
        for targets, chosen in ((self.masks, ~boxed), (self.boxes, boxed)):
            clip, query, wanted = (index[chosen] for index in pairs)
            found.update(targets.matched(mask_logits, (clip, query, wanted), objects, draws))
        return found

    def prompted(self, mask_logits: Tensor, valid: Tensor, counting: Counting = ALONE) -> dict[str, Tensor]:
        found = {}
        for targets, some, share in self.parts(valid, counting):
            terms = targets.prompted(mask_logits, some, counting)
            found.update({name: share * value for name, value in terms.items()})
        return found

    def answers(
        self, mask_logits: Tensor, quality: Tensor, valid: Tensor, counting: Counting = ALONE
    ) -> dict[str, Tensor]:
        (masks, unboxed, one), (boxes, boxed, other) = self.parts(valid, counting)
        by_masks = masks.answers(mask_logits, quality, unboxed, counting)
        by_boxes = boxes.answers(mask_logits, quality, boxed, counting)
        return {name: one * by_masks[name] + other * by_boxes[name] for name in by_masks}

    def parts(self, valid: Tensor, counting: Counting = ALONE) -> list[tuple[Targets, Tensor, Tensor]]:
        """Both kinds of targets, each with the objects that it knows (B G bool) and their share of all valid ones."""
        of_boxes = valid & self.boxed[:, None]
        every = counting.share(valid.sum())
        return [
            (targets, some, counting.share(some.sum()) / every)
            for targets, some in ((self.masks, valid & ~of_boxes), (self.boxes, of_boxes))
        ]
