"""Full masks as supervision. Shapes as in `supervision`; H W multiples of the size h w of mask logits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from univs.losses.answers import answer_losses
from univs.losses.counting import ALONE, Counting
from univs.losses.matcher import Pairs, pair_costs
from univs.losses.set_criterion import CriterionWeights, matched_mask_losses, prompt_losses
from univs.losses.supervision import predictions_of
from univs.models.draws import Draws


@dataclass(frozen=True)
class MaskTargets:
    """`Targets` of masks: cross-entropy (`mask`) and `dice` at uncertain points.

    Args:
        masks: B G T H W in 0..1.
        weights: of the terms, and at how many points a mask is compared.
        unknown: B T H W bool, pixels of which nothing is known and that weigh nothing; None: no pixel.
    """

    masks: Tensor
    weights: CriterionWeights
    unknown: Tensor | None = None

    def costs(self, mask_logits: Tensor, points: Tensor) -> Tensor:
        layers = predictions_of(mask_logits, self.masks)
        unknown = None if self.unknown is None else self.unknown.repeat(layers, 1, 1, 1)
        return pair_costs(mask_logits, self.masks.repeat(layers, 1, 1, 1, 1), points, unknown=unknown)

    def matched(
        self, mask_logits: Tensor, pairs: Pairs, objects: Tensor | int, draws: Draws | None = None
    ) -> dict[str, Tensor]:
        points = self.weights.points
        return self._weighed(*matched_mask_losses(mask_logits, self.masks, pairs, objects, points, self.unknown, draws))

    def prompted(self, mask_logits: Tensor, valid: Tensor, counting: Counting = ALONE) -> dict[str, Tensor]:
        found = prompt_losses(mask_logits, self.masks, valid, self.weights.points, self.unknown, counting)
        return self._weighed(found["mask"], found["dice"])

    def answers(
        self, mask_logits: Tensor, quality: Tensor, valid: Tensor, counting: Counting = ALONE
    ) -> dict[str, Tensor]:
        unknown = None if self.unknown is None else self.unknown[:, 0]
        masks = self.masks[:, :, 0]
        return answer_losses(mask_logits, quality, masks, valid, self.weights.points, unknown, counting)

    def _weighed(self, cross_entropy: Tensor, dice: Tensor) -> dict[str, Tensor]:
        return {"mask": self.weights.mask * cross_entropy, "dice": self.weights.dice * dice}
