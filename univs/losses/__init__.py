"""Losses as pure functions: points, masks, matching, the set criterion, re-identification, all terms of official
training (`clip_losses`), the correspondence of the memory, slots and their masks; and what masks are compared with
(`supervision`): masks, or boxes (box projection, pairwise colours, temporal matches)."""

from univs.losses.answers import answer_ious, answer_losses
from univs.losses.box_targets import Appearance, BoxTargets, BoxTerms, see, warmed
from univs.losses.boxes import colour_similarity, fill_boxes, pairwise_terms, projection_loss
from univs.losses.clip_criterion import ClipTargets, PromptTargets, clip_losses, match_predictions
from univs.losses.colours import lab, pooled_lab
from univs.losses.correspondence import correspondence_loss, mean_over
from univs.losses.hardest_pixels import hardest_cross_entropy, triplet_loss
from univs.losses.mask_targets import MaskTargets
from univs.losses.masks import (
    binary_cross_entropy,
    bootstrapped_cross_entropy,
    dice_loss,
    selected_cross_entropy,
    soft_dice_loss,
)
from univs.losses.matcher import assign, match
from univs.losses.point_sampling import sample_points, uncertain_points
from univs.losses.reidentification import reidentification_losses
from univs.losses.segments import segment_loss
from univs.losses.set_criterion import CriterionWeights, prompt_losses, set_losses
from univs.losses.soft_iou import (
    balanced_cross_entropy,
    mean_of_valid,
    permuted,
    slot_costs,
    slot_targets,
    soft_iou_loss,
)
from univs.losses.supervision import EitherTargets, Targets, added
from univs.losses.temporal_knn import PatchSearch, find_matches, patch_similarity, temporal_terms

__all__ = [
    "Appearance",
    "BoxTargets",
    "BoxTerms",
    "ClipTargets",
    "CriterionWeights",
    "EitherTargets",
    "MaskTargets",
    "PatchSearch",
    "PromptTargets",
    "Targets",
    "added",
    "balanced_cross_entropy",
    "answer_ious",
    "answer_losses",
    "assign",
    "binary_cross_entropy",
    "bootstrapped_cross_entropy",
    "clip_losses",
    "colour_similarity",
    "correspondence_loss",
    "dice_loss",
    "fill_boxes",
    "find_matches",
    "hardest_cross_entropy",
    "lab",
    "match",
    "match_predictions",
    "mean_of_valid",
    "mean_over",
    "pairwise_terms",
    "patch_similarity",
    "pooled_lab",
    "projection_loss",
    "permuted",
    "prompt_losses",
    "reidentification_losses",
    "sample_points",
    "see",
    "segment_loss",
    "selected_cross_entropy",
    "set_losses",
    "slot_costs",
    "slot_targets",
    "soft_dice_loss",
    "soft_iou_loss",
    "temporal_terms",
    "triplet_loss",
    "uncertain_points",
    "warmed",
]
