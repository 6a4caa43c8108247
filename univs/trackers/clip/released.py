"""The category-guided tasks by the released settings of UniVS: who answers them, with each choice as a named option."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from univs.masks.geometry import Geometry
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.settings import Count
from univs.trackers.classes import EVERYTHING, THINGS, Classes, classes_of
from univs.trackers.clip.entities import EntityRules, EntityTracker
from univs.trackers.clip.instances import InstanceOutput
from univs.trackers.clip.memory import ClipMemory
from univs.trackers.clip.outputs import Windows
from univs.trackers.clip.panoptic import PanopticOutput
from univs.trackers.clip.prompt_streams import TextPromptStream, VisualPromptStream
from univs.trackers.clip.prompted import ClipTracker, Rules
from univs.trackers.clip.stuff_objects import StuffObjects
from univs.trackers.clip.tracks import Tracks
from univs.trackers.detections import Filter, PanopticFilter
from univs.trackers.semantic import SemanticTracker
from univs.vocabularies import vocabulary

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
) -> EntityTracker:
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
        dilute_late: of `Tracks`. scale_quality: of `InstanceOutput`.
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
    return EntityTracker(
        model,
        geometry,
        classes,
        rules=rules,
        memory=ClipMemory(token_width, token_frames, clip_length=clip_length, clip_stride=clip_stride),
        tracks=Tracks(history, dilute_late=dilute_late),
        assembly=InstanceOutput(classes, geometry, windows=windows, scale_quality=scale_quality, most_rows=most),
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
) -> EntityTracker:
    """Panoptic segments of the categories (VPS).

    Args:
        most, most_things, most_stuff, box_overlap, mask_overlap, suppression: of `PanopticFilter`.
        class_score: of a detection that becomes an entity in the first clip; later twice as much is asked.
        overlap, weigh, skip_number: of `PanopticOutput`.
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
    return EntityTracker(
        model,
        geometry,
        classes,
        rules=rules,
        memory=ClipMemory(token_width, token_frames, clip_length=clip_length, clip_stride=clip_stride),
        tracks=Tracks(history, dilute_late=dilute_late),
        assembly=PanopticOutput(
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
) -> SemanticTracker:
    """A class of the categories for every pixel (VSS); the arguments are as in `find_instances`."""
    return SemanticTracker(model, geometry, classes_of(model, categories or EVERYTHING, class_embeddings, text_encoder))


VIPSEG = Categories(vocabulary("vipseg").names, vocabulary("vipseg").things)
"""What an object may be if nobody says."""


def follow_shown(
    model: UniVS,
    geometry: Geometry,
    *,
    clip_length: int = 5,
    clip_stride: int = 1,
    initial_query: str = "frame",
    memory_encoding: str = "next_clip",
    self_attention: str = "sep",
    token_width: int = 256,
    token_frames: Count = 5,
    consistency: float = 0.5,
    expected_ids: Sequence[int] = (),
    stuff: StuffObjects | None = None,
) -> ClipTracker:
    """Objects that visual prompts show.

    Args:
        initial_query, memory_encoding: of `ClipMemory`.
        self_attention: which queries see each other in the decoder (`UniVS.decode`).
        token_width: R, prompt tokens of one frame.
        token_frames: of how many of the last frames tokens and embeddings are kept; at least those of a clip.
        consistency: similarity to an object's past from which a prediction of it is believed.
        expected_ids, stuff: of `ClipTracker`.
    """
    memory = ClipMemory(
        token_width,
        token_frames,
        clip_length=clip_length,
        clip_stride=clip_stride,
        origin=0,
        initial_query=initial_query,
        memory_encoding=memory_encoding,
    )
    return ClipTracker(
        model,
        geometry,
        VisualPromptStream(model, geometry, memory),
        Rules(consistency=consistency),
        clip_stride=clip_stride,
        history=memory.recent,
        self_attention=self_attention,
        expected_ids=expected_ids,
        stuff=stuff,
    )


def follow_named(
    model: UniVS,
    geometry: Geometry,
    *,
    classes: Categories | None = None,
    class_embeddings: Tensor | None = None,
    text_encoder: TextEncoder | None = None,
    clip_length: int = 5,
    clip_stride: int = 1,
    initial_query: str = "frame",
    memory_encoding: str = "next_clip",
    self_attention: str = "sep",
    token_width: int = 256,
    token_frames: Count = 5,
    consistency: float = 0.5,
    expected_ids: Sequence[int] = (),
) -> ClipTracker:
    """Objects that visual prompts show, things and stuff; words said about an object are the name of its class.

    Args:
        classes: what an object may be; None: those of VIPSeg.
        class_embeddings: K D of the classes; None: the text encoder makes them.
        text_encoder: None: the one that the model was trained with.
        clip_length ... expected_ids: as in `follow_shown`.
    """

    def load_classes() -> Classes:
        return classes_of(model, classes or VIPSEG, class_embeddings, text_encoder)

    return follow_shown(
        model,
        geometry,
        clip_length=clip_length,
        clip_stride=clip_stride,
        initial_query=initial_query,
        memory_encoding=memory_encoding,
        self_attention=self_attention,
        token_width=token_width,
        token_frames=token_frames,
        consistency=consistency,
        expected_ids=expected_ids,
        stuff=StuffObjects(load_classes, geometry),
    )


def follow_described(
    model: UniVS,
    geometry: Geometry,
    *,
    clip_length: int = 5,
    clip_stride: int = 1,
    self_attention: str = "sep-blocked",
    grounding_blend: str = "best_learnable",
    token_frames: Count = 5,
    consistency: float = 0.5,
    text_encoder: TextEncoder | None = None,
    clean_texts: bool = True,
) -> ClipTracker:
    """Objects that expressions describe; they may overlap.

    Args:
        self_attention, grounding_blend: of the decoder (`UniVS.decode`).
        token_frames: of how many of the last frames embeddings are kept; at least those of a clip.
        consistency: as in `follow_shown`.
        text_encoder: of the expressions; None: the one that the model was trained with.
        clean_texts: whether expressions are cleaned as in official training.
    """
    return ClipTracker(
        model,
        geometry,
        TextPromptStream(model, text_encoder, clean=clean_texts),
        Rules(consistency=consistency, compete=False),
        clip_stride=clip_stride,
        history=max(token_frames, clip_length),
        self_attention=self_attention,
        grounding_blend=grounding_blend,
    )
