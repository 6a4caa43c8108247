"""Readers of labelled images and videos, and the training clips made of them.

The names below are imported when first used, so that SynthVS and the sample type come without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from univs.data.clips import ClipSettings, TrainingClip, TrainingClips, build_clips, collate_clips
    from univs.data.coco_instances import CocoInstances
    from univs.data.davis_folder import DavisFolder, LabelledSequence
    from univs.data.photo import Photo
    from univs.data.photo_masks import PhotoMasks
    from univs.data.region_labels import RegionLabels
    from univs.data.sample import IGNORE, VideoSample

_HOMES = {
    "ClipSettings": "clips",
    "TrainingClip": "clips",
    "TrainingClips": "clips",
    "build_clips": "clips",
    "collate_clips": "clips",
    "CocoInstances": "coco_instances",
    "DavisFolder": "davis_folder",
    "LabelledSequence": "davis_folder",
    "Photo": "photo",
    "PhotoMasks": "photo_masks",
    "RegionLabels": "region_labels",
    "IGNORE": "sample",
    "VideoSample": "sample",
}

__all__ = [
    "IGNORE",
    "ClipSettings",
    "CocoInstances",
    "DavisFolder",
    "LabelledSequence",
    "Photo",
    "PhotoMasks",
    "RegionLabels",
    "TrainingClip",
    "TrainingClips",
    "VideoSample",
    "build_clips",
    "collate_clips",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'univs.data' has no attribute {name!r}")
    return getattr(import_module(f"univs.data.{_HOMES[name]}"), name)
