"""Losses as pure functions: points, masks, matching, the set criterion and the correspondence of the memory."""

from univs.losses.correspondence import correspondence_loss, mean_over
from univs.losses.masks import binary_cross_entropy, bootstrapped_cross_entropy, dice_loss, soft_dice_loss
from univs.losses.matcher import match
from univs.losses.point_sampling import sample_points, uncertain_points
from univs.losses.set_criterion import CriterionWeights, prompt_losses, set_losses

__all__ = [
    "CriterionWeights",
    "binary_cross_entropy",
    "bootstrapped_cross_entropy",
    "correspondence_loss",
    "dice_loss",
    "match",
    "mean_over",
    "prompt_losses",
    "sample_points",
    "set_losses",
    "soft_dice_loss",
    "uncertain_points",
]
