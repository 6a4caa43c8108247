"""Losses as pure functions: points, masks, matching, the set criterion, re-identification, all terms of official
training (`clip_losses`), and the correspondence of the memory."""

from univs.losses.answers import answer_ious, answer_losses
from univs.losses.clip_criterion import ClipTargets, PromptTargets, clip_losses, match_predictions
from univs.losses.correspondence import correspondence_loss, mean_over
from univs.losses.masks import binary_cross_entropy, bootstrapped_cross_entropy, dice_loss, soft_dice_loss
from univs.losses.matcher import match
from univs.losses.point_sampling import sample_points, uncertain_points
from univs.losses.reidentification import reidentification_losses
from univs.losses.segments import segment_loss
from univs.losses.set_criterion import CriterionWeights, prompt_losses, set_losses

__all__ = [
    "ClipTargets",
    "CriterionWeights",
    "PromptTargets",
    "answer_ious",
    "answer_losses",
    "binary_cross_entropy",
    "bootstrapped_cross_entropy",
    "clip_losses",
    "correspondence_loss",
    "dice_loss",
    "match",
    "match_predictions",
    "mean_over",
    "prompt_losses",
    "reidentification_losses",
    "sample_points",
    "segment_loss",
    "set_losses",
    "soft_dice_loss",
    "uncertain_points",
]
