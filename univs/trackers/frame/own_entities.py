"""The category-guided tasks by our own rules: who answers them, with each choice as a named option."""

from __future__ import annotations

from torch import Tensor

from univs.masks.geometry import Geometry
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.settings import Count, CountFromZero
from univs.trackers.classes import EVERYTHING, THINGS, classes_of
from univs.trackers.detections import Filter
from univs.trackers.frame.instances import FindRules, InstanceTracker
from univs.trackers.frame.panoptic import PanopticTracker
from univs.trackers.frame.tracker import FrameTracker


def find_and_follow(
    model: UniVS,
    geometry: Geometry,
    *,
    categories: Categories | None = None,
    class_embeddings: Tensor | None = None,
    text_encoder: TextEncoder | None = None,
    clip_length: int = 1,
    clip_stride: int = 1,
    initial_query: str = "memory",
    memory_encoding: str = "own_frame",
    self_attention: str = "sep",
    token_width: int | None = None,
    token_frames: Count = 2,
    dense_frames: Count = 6,
    dense_interval: Count = 5,
    detect_interval: Count = 5,
    stability: float = 0.5,
    box_overlap: float = 0.85,
    class_score: float = 0.12,
    match: float = 0.4,
    new_share: float = 0.5,
    most: Count = 20,
    lost_after: CountFromZero = 15,
) -> InstanceTracker:
    """Instances of the categories, found now and then and followed in between (VIS).

    Args:
        categories, class_embeddings, text_encoder: as in `official_entities.find_instances`.
        clip_length to dense_interval: of `FrameTracker`.
        detect_interval, class_score, match, new_share, most, lost_after: of `FindRules`.
        stability, box_overlap: of its `Filter`.
    """
    follower = FrameTracker(
        model,
        geometry,
        clip_length=clip_length,
        clip_stride=clip_stride,
        initial_query=initial_query,
        memory_encoding=memory_encoding,
        self_attention=self_attention,
        token_width=token_width,
        token_frames=token_frames,
        dense_frames=dense_frames,
        dense_interval=dense_interval,
    )
    rules = FindRules(
        interval=detect_interval,
        filter=Filter(stability, most, box_overlap),
        class_score=class_score,
        match=match,
        new_share=new_share,
        most=most,
        lost_after=lost_after,
    )
    classes = classes_of(model, categories or THINGS, class_embeddings, text_encoder)
    return InstanceTracker(model, geometry, classes, follower, rules)


def paint_everything(
    model: UniVS,
    geometry: Geometry,
    *,
    categories: Categories | None = None,
    class_embeddings: Tensor | None = None,
    text_encoder: TextEncoder | None = None,
    clip_length: int = 1,
    clip_stride: int = 1,
    self_attention: str = "sep",
    dense_frames: Count = 6,
    dense_interval: Count = 5,
    class_score: float = 0.12,
    most: Count = 20,
    lost_after: CountFromZero = 15,
) -> PanopticTracker:
    """Panoptic segments of the categories (VPS): things followed, and a map of stuff under them, frame by frame.

    The arguments are as in `find_and_follow`.
    """
    classes = classes_of(model, categories or EVERYTHING, class_embeddings, text_encoder)
    follower = FrameTracker(
        model,
        geometry,
        clip_length=clip_length,
        clip_stride=clip_stride,
        self_attention=self_attention,
        dense_frames=dense_frames,
        dense_interval=dense_interval,
    )
    rules = FindRules(interval=1, class_score=class_score, most=most, lost_after=lost_after)
    return PanopticTracker(model, geometry, classes, InstanceTracker(model, geometry, classes, follower, rules))
