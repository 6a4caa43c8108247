"""The category-guided tasks by the released settings of UniVS: who answers them, with each choice as a named option."""

from __future__ import annotations

from torch import Tensor

from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.settings import Count
from univs.streaming.assemblies.instances import InstanceAssembly
from univs.streaming.assemblies.panoptic import PanopticAssembly
from univs.streaming.assemblies.windows import Windows
from univs.streaming.classes import classes_of
from univs.streaming.clip_memory import ClipMemory
from univs.streaming.discovery import Filter, PanopticFilter
from univs.streaming.entity_follower import EntityFollower, EntityRules
from univs.streaming.geometry import Geometry
from univs.streaming.semantic_follower import SemanticFollower
from univs.streaming.tracks import Tracks
from univs.vocabularies import vocabulary

THINGS = Categories(vocabulary("coco").names)
"""What is looked for if nobody says."""
EVERYTHING = Categories(vocabulary("coco_panoptic").names, vocabulary("coco_panoptic").things)
SUPPRESSION = "any_better"
LEAST_FIRST_SCORE = 0.1
"""Below this nothing becomes an instance in the first clip, whatever the threshold."""


def find_instances(
    model: UniVS,
    geometry: Geometry,
    *,
    categories: Categories | None = None,
    class_embeddings: Tensor | None = None,
    text_encoder: TextEncoder | None = None,
    clip_length: int = 5,
    clip_stride: int = 1,
    self_attention: str = "sep",
    token_width: int = 128,
    token_frames: Count = 5,
    window: Count = 5,
    detect_interval: Count = 1,
    stability: float = 0.25,
    most: Count = 35,
    box_overlap: float = 0.85,
    class_score: float = 0.25,
    match: float = 0.1,
    consistency: float = 0.25,
    competition: float = 0.5,
    new_overlap: float = 0.5,
    suppression: str = SUPPRESSION,
    late_start: bool = False,
    dilute_late: bool = True,
    scale_quality: bool = True,
) -> EntityFollower:
    """Instances of the categories (VIS).

    Args:
        categories: what is looked for; None: the things of COCO, or its things and stuff where pixels are labelled.
        class_embeddings: K D of them; None: asked of the text encoder.
        text_encoder: None: the one that the model was trained with.
        self_attention: which queries see each other in the decoder (`UniVS.decode`).
        token_width, token_frames: prompt tokens of one frame, and of how many of the last frames they are kept.
        window: frames (at least) after which class scores are noted (`Windows`).
        detect_interval, match, consistency, competition, new_overlap, late_start: of `EntityRules`.
        stability, most, box_overlap, suppression: of `Filter`; most is the least number of result rows, too.
        class_score: of a detection that becomes an instance.
        dilute_late: of `Tracks`. scale_quality: of `InstanceAssembly`.
    """
    classes = classes_of(model, categories or THINGS, class_embeddings, text_encoder)
    look = Filter(stability, most, box_overlap, suppression)
    history = max(token_frames // clip_stride, 3)
    rules = EntityRules(
        interval=detect_interval,
        first_filter=look,
        later_filter=look,
        first_score=max(class_score, LEAST_FIRST_SCORE),
        new_score=class_score,
        match=match,
        strong_match=2 * match,
        new_overlap=new_overlap,
        late_start=late_start,
        consistency=consistency,
        history=history,
        competition=competition,
    )
    windows = Windows(max(window, clip_length), token_frames)
    return EntityFollower(
        model,
        geometry,
        classes,
        rules=rules,
        memory=ClipMemory(token_width, token_frames, clip_length=clip_length, clip_stride=clip_stride),
        tracks=Tracks(history, dilute_late=dilute_late),
        assembly=InstanceAssembly(classes, geometry, windows=windows, scale_quality=scale_quality, most_rows=most),
        self_attention=self_attention,
    )


def find_segments(
    model: UniVS,
    geometry: Geometry,
    *,
    categories: Categories | None = None,
    class_embeddings: Tensor | None = None,
    text_encoder: TextEncoder | None = None,
    clip_length: int = 5,
    clip_stride: int = 1,
    self_attention: str = "sep",
    token_width: int = 64,
    token_frames: Count = 5,
    window: Count = 5,
    detect_interval: Count = 1,
    most: Count = 100,
    most_things: Count = 70,
    most_stuff: Count = 30,
    box_overlap: float = 0.75,
    mask_overlap: float = 0.6,
    class_score: float = 0.15,
    match: float = 0.05,
    consistency: float = 0.05,
    new_overlap: float = 0.5,
    suppression: str = SUPPRESSION,
    late_start: bool = False,
    dilute_late: bool = True,
    overlap: float = 0.6,
    weigh: str = "logit",
    skip_number: bool = True,
) -> EntityFollower:
    """Panoptic segments of the categories (VPS).

    Args:
        most, most_things, most_stuff, box_overlap, mask_overlap, suppression: of `PanopticFilter`.
        class_score: of a detection that becomes an entity in the first clip; later twice as much is asked.
        overlap, weigh, skip_number: of `PanopticAssembly`.
        The others are as in `find_instances`.
    """
    classes = classes_of(model, categories or EVERYTHING, class_embeddings, text_encoder)
    history = max(token_frames // clip_stride, 3)
    rules = EntityRules(
        interval=detect_interval,
        first_filter=PanopticFilter(most, most_things, most_stuff, box_overlap, mask_overlap, suppression),
        later_filter=None,
        first_score=class_score,
        new_score=2 * class_score,
        match=match,
        strong_match=match,
        new_overlap=new_overlap,
        late_start=late_start,
        consistency=consistency,
        history=history,
        competition=None,
    )
    windows = Windows(max(window, clip_length), token_frames)
    return EntityFollower(
        model,
        geometry,
        classes,
        rules=rules,
        memory=ClipMemory(token_width, token_frames, clip_length=clip_length, clip_stride=clip_stride),
        tracks=Tracks(history, dilute_late=dilute_late),
        assembly=PanopticAssembly(
            classes, geometry, windows=windows, overlap=overlap, weigh=weigh, skip_number=skip_number
        ),
        self_attention=self_attention,
    )


def label_pixels(
    model: UniVS,
    geometry: Geometry,
    *,
    categories: Categories | None = None,
    class_embeddings: Tensor | None = None,
    text_encoder: TextEncoder | None = None,
) -> SemanticFollower:
    """A class of the categories for every pixel (VSS); the arguments are as in `find_instances`."""
    return SemanticFollower(
        model, geometry, classes_of(model, categories or EVERYTHING, class_embeddings, text_encoder)
    )
