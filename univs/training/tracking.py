"""What the answers along a clip are held to, by masks, by boxes, or by either as the clip has it.

Shapes: B clips, T frames, M targets of a clip, S pixels of a side; joint: log-odds B M+1 S/4 S/4 of background and
targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses import (
    Appearance,
    BoxTargets,
    BoxTerms,
    CriterionWeights,
    MaskTargets,
    added,
    bootstrapped_cross_entropy,
    correspondence_loss,
    mean_over,
    see,
    soft_dice_loss,
)
from univs.losses.counting import ALONE, Counting
from univs.masks.geometry import MASK_STRIDE
from univs.masks.meanings import IGNORE
from univs.models.features import Prediction
from univs.training.aim import Aim, read_aim
from univs.training.corrections import corrective_clicks
from univs.training.truth import BoxTruth, EitherTruth, FrameTruth, Known, MaskTruth, boxes_of, filled_boxes


@dataclass(frozen=True)
class Affinities:
    """What is read from other frames at one time.

    everywhere: values B M R*P C of the frames `kept` (times) at stride 16, to B M P C; nearby: of the frame before,
    B M S/8 S/8, to the same shape.
    """

    everywhere: Callable[[Tensor], Tensor]
    nearby: Callable[[Tensor], Tensor]
    kept: Sequence[int]


class Tracking(Protocol):
    """The truth of a batch of clips."""

    answers_first: bool
    """Whether the first frame is answered, because its masks are not known."""

    def first(self, joint: Tensor | None) -> Tensor:
        """Masks B M S/4 S/4 that are remembered of the first frame; joint: its answer, where it is answered."""
        ...

    def frame(self, joint: Tensor, intermediate: Sequence[Prediction], t: int, kept_share: float) -> dict[str, Tensor]:
        """Weighted losses of the answer at time t, and of what the layers before the last one predict."""
        ...

    def correspondence(self, affinities: Affinities, t: int) -> dict[str, Tensor]:
        """How well true masks come through both affinities at time t, unweighted; nothing where none are known."""
        ...

    def clip(self, joints: Sequence[Tensor]) -> dict[str, Tensor]:
        """Weighted losses of the answers of all times together."""
        ...

    def clicks(self, joint: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """A click on what is certainly wrong with each answer at time t, as `corrective_clicks` gives it."""
        ...


@dataclass(frozen=True)
class MaskTracking:
    """Label maps.

    aim: of the clips, in which the rows that are not `counted` (B M bool) weigh nothing; points: where masks of earlier
    layers are compared; intermediate: weight of these.
    """

    aim: Aim
    counted: Tensor
    points: int
    intermediate: float
    counting: Counting = ALONE

    answers_first = False

    def first(self, joint: Tensor | None) -> Tensor:
        return self.aim.quarter[:, :, 0]

    def frame(self, joint: Tensor, intermediate: Sequence[Prediction], t: int, kept_share: float) -> dict[str, Tensor]:
        aim = self.aim
        full = F.interpolate(joint, scale_factor=4, mode="bilinear", align_corners=False)
        cross_entropy = bootstrapped_cross_entropy(full, aim.classes[:, t], kept_share)
        known = (aim.classes[:, t] != IGNORE)[:, None]
        probabilities = full.softmax(1)[:, 1:] * known
        shares = soft_dice_loss(probabilities.flatten(0, 1).flatten(1), aim.masks[:, :, t].flatten(0, 1).flatten(1))
        dice = mean_over(shares.view_as(aim.valid), self.counted, self.counting)
        losses = {"cross_entropy": cross_entropy, "dice": dice}
        if self.intermediate > 0:
            targets = MaskTargets(aim.masks[:, :, t : t + 1], CriterionWeights(1.0, 1.0, 1.0, self.points), ~known)
            logits = torch.stack([p.mask_logits for p in intermediate])
            terms = targets.prompted(logits, self.counted, self.counting)
            losses["intermediate"] = self.intermediate * added(terms).sum()
        return losses

    def correspondence(self, affinities: Affinities, t: int) -> dict[str, Tensor]:
        aim, kept = self.aim, affinities.kept
        truth16 = F.avg_pool2d(aim.quarter.flatten(1, 2), 4).unflatten(1, aim.quarter.shape[1:3])  # B M T h16 w16
        sure16, sure8 = (known_cells(aim.classes, stride) for stride in (16, 8))
        masks = _with_known(truth16[:, :, kept].flatten(2), sure16[:, kept].flatten(1))[..., None]  # B M+1 R*P 1
        carried = affinities.everywhere(masks)[..., 0]
        truth8 = F.avg_pool2d(aim.quarter[:, :, t - 1 : t + 1].flatten(1, 2), 2).unflatten(1, (-1, 2))
        locally = affinities.nearby(_with_known(truth8[:, :, 0], sure8[:, t - 1])).flatten(2)
        loss = self._carried(carried, truth16[:, :, t].flatten(2), sure16[:, t].flatten(1))
        near = self._carried(locally, truth8[:, :, 1].flatten(2), sure8[:, t].flatten(1))
        return {"correspondence": loss + near}

    def _carried(self, carried: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        """`correspondence_loss` of what `_with_known` made, carried to P places: B M+1 P.

        What is carried from known cells alone is compared, where they are at least half of what a place reads.
        """
        share = carried[:, -1:]
        compared = known & (share[:, 0] >= 0.5)
        return correspondence_loss(carried[:, :-1] / share.clamp_min(0.5), truth, self.counted, compared, self.counting)

    def clip(self, joints: Sequence[Tensor]) -> dict[str, Tensor]:
        return {}

    def clicks(self, joint: Tensor, t: int) -> tuple[Tensor, Tensor]:
        known = known_cells(self.aim.classes[:, t], MASK_STRIDE)
        return corrective_clicks(answered(joint), self.aim.quarter[:, :, t], known)


@dataclass(frozen=True)
class BoxTracking:
    """Boxes. What is remembered of the first frame is the model's own answer to its prompt, cut to the box.

    boxes: B M T S/4 S/4, filled; seen: what the colours of the clips say; counted, intermediate: as of `MaskTracking`.
    """

    boxes: Tensor
    seen: Appearance
    terms: BoxTerms
    step: int
    counted: Tensor
    intermediate: float
    counting: Counting = ALONE

    answers_first = True

    def first(self, joint: Tensor | None) -> Tensor:
        assert joint is not None
        return joint.softmax(1)[:, 1:] * (self.boxes[:, :, 0] > 0)

    def frame(self, joint: Tensor, intermediate: Sequence[Prediction], t: int, kept_share: float) -> dict[str, Tensor]:
        seen = Appearance(self.seen.alike[:, t : t + 1], None)
        targets = BoxTargets(self.boxes[:, :, t : t + 1], seen, self.terms, self.step)
        odds = odds_of_targets(joint)[None, :, :, None]
        losses = {name: value[0] for name, value in targets.prompted(odds, self.counted, self.counting).items()}
        if self.intermediate > 0:
            logits = torch.stack([p.mask_logits for p in intermediate])
            terms = targets.prompted(logits, self.counted, self.counting)
            losses["intermediate"] = self.intermediate * added(terms).sum()
        return losses

    def correspondence(self, affinities: Affinities, t: int) -> dict[str, Tensor]:
        return {}

    def clip(self, joints: Sequence[Tensor]) -> dict[str, Tensor]:
        """The TK-loss alone: what concerns single frames is asked of each of them."""
        if self.seen.matches is None:
            return {}
        logits = torch.stack([odds_of_targets(joint) for joint in joints], 2)
        far = replace(self.terms, projection=0.0, pairwise=0.0, outside=0.0)
        targets = BoxTargets(self.boxes, self.seen, far, self.step)
        return {"temporal": targets.prompted(logits[None], self.counted, self.counting)["temporal"][0]}

    def clicks(self, joint: Tensor, t: int) -> tuple[Tensor, Tensor]:
        outside = self.boxes[:, :, t] == 0
        return corrective_clicks(answered(joint), torch.zeros_like(self.boxes[:, :, t]), outside)


@dataclass(frozen=True)
class EitherTracking:
    """Masks of some clips and boxes of the others (`boxed`, B bool)."""

    masks: MaskTracking
    boxes: BoxTracking
    boxed: Tensor
    shares: tuple[Tensor, Tensor]
    """Of all targets, how many have masks and how many boxes."""

    answers_first = True

    def first(self, joint: Tensor | None) -> Tensor:
        boxed = self.boxed[:, None, None, None]
        return torch.where(boxed, self.boxes.first(joint), self.masks.first(joint))

    def frame(self, joint: Tensor, intermediate: Sequence[Prediction], t: int, kept_share: float) -> dict[str, Tensor]:
        masks, boxes = self.shares
        ours, theirs = (each.frame(joint, intermediate, t, kept_share) for each in (self.masks, self.boxes))
        # the cross-entropy is a mean over all clips already, 0 where nothing of the pixels is known
        losses = {name: value if name == "cross_entropy" else masks * value for name, value in ours.items()}
        for name, value in theirs.items():
            losses[name] = losses[name] + boxes * value if name in losses else boxes * value
        return losses

    def correspondence(self, affinities: Affinities, t: int) -> dict[str, Tensor]:
        return {name: self.shares[0] * value for name, value in self.masks.correspondence(affinities, t).items()}

    def clip(self, joints: Sequence[Tensor]) -> dict[str, Tensor]:
        return {name: self.shares[1] * value for name, value in self.boxes.clip(joints).items()}

    def clicks(self, joint: Tensor, t: int) -> tuple[Tensor, Tensor]:
        boxed = self.boxed.repeat_interleave(self.masks.counted.shape[1])
        found = zip(self.boxes.clicks(joint, t), self.masks.clicks(joint, t), strict=True)
        points, signs = (torch.where(boxed.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in found)
        return points, signs


def answered(joint: Tensor) -> Tensor:
    """Masks B M h w bool: where a target is the likeliest of all."""
    number = torch.arange(1, joint.shape[1], device=joint.device)[:, None, None]
    return joint.argmax(1, keepdim=True) == number


def odds_of_targets(joint: Tensor) -> Tensor:
    """Log-odds B M h w of each target against all else, from the joint ones B M+1 h w."""
    rows = joint.shape[1]
    others = ~torch.eye(rows, dtype=torch.bool, device=joint.device)
    against = [joint[:, others[row]].logsumexp(1) for row in range(1, rows)]
    return joint[:, 1:] - torch.stack(against, 1)


def known_cells(classes: Tensor, stride: int) -> Tensor:
    """Label maps B (T) S S -> B (T) S/stride S/stride bool: cells without a pixel of which nothing is known."""
    return F.max_pool2d((classes == IGNORE).float(), stride) == 0


@dataclass(frozen=True)
class Supervisor:
    """Makes of a batch what is known of it.

    known: what the data has; terms: of boxes; criterion, intermediate: weights; counting: of the targets.
    """

    known: Known
    terms: BoxTerms
    criterion: CriterionWeights
    intermediate: float
    counting: Counting = ALONE

    def __call__(self, batch: Mapping[str, Any]) -> tuple[FrameTruth, Tracking]:
        """What is known of the frames that are prompted anew, and along the clips; batch: of `collate_clips`.

        Masks are read where there are any alone.
        """
        valid, index, labels = batch["targets"] > 0, batch["anew"]["frame_index"], batch["labels"]
        if self.known == "masks":
            return self._mask_truth(labels, index), self._mask_tracking(batch, valid)
        clips, length, _, size, _ = batch["frames"].shape
        boxed = batch.get("boxed", torch.zeros(clips, dtype=torch.bool, device=valid.device))
        given = batch.get("boxes", torch.zeros(clips, 1, length, 4, device=valid.device))
        seen, step = see(batch["frames"], self.terms, MASK_STRIDE), int(batch["step"]) + 1
        of_frames = given.permute(2, 0, 1, 3).flatten(0, 1)[index]
        boxes = BoxTruth(of_frames, seen.frames(index), self.terms, size, step)
        counted = valid & boxed[:, None]
        filled = filled_boxes(boxes_of(given, batch["targets"]), size)
        tracked = BoxTracking(filled, seen, self.terms, step, counted, self.intermediate, self.counting)
        if self.known == "boxes":
            return boxes, tracked
        masks = self._mask_tracking(batch, valid & ~counted)
        every, share = self.counting.share(valid.sum()), self.counting.share
        shares = share(masks.counted.sum()) / every, share(counted.sum()) / every
        truth = EitherTruth(self._mask_truth(labels, index), boxes, boxed[index % clips])
        return truth, EitherTracking(masks, tracked, boxed, shares)

    def _mask_truth(self, labels: Tensor, index: Tensor) -> MaskTruth:
        return MaskTruth(labels.transpose(0, 1).flatten(0, 1)[index], self.criterion)

    def _mask_tracking(self, batch: Mapping[str, Any], counted: Tensor) -> MaskTracking:
        aim = read_aim(batch["labels"], batch["targets"])
        return MaskTracking(aim, counted, self.criterion.points, self.intermediate, self.counting)


def _with_known(masks: Tensor, known: Tensor) -> Tensor:
    """Masks B M ... as they are remembered, zero where nothing is known, and known itself (B ...) as one more row."""
    rows = known[:, None].to(masks.dtype)
    return torch.cat([masks * rows, rows], 1)
