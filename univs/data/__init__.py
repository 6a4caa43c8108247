"""Readers of labelled images and videos, and the training clips made of them.

The names below are imported when first used, so that SynthVS and the sample type come without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from univs.data.clip_batches import collate_clips
    from univs.data.clips import ClipSettings, TrainingClip, TrainingClips, build_clips
    from univs.data.photo import Photo
    from univs.data.region_labels import RegionLabels
    from univs.formats.sample import IGNORE, VideoSample

_HOMES = {
    "ClipSettings": "univs.data.clips",
    "TrainingClip": "univs.data.clips",
    "TrainingClips": "univs.data.clips",
    "build_clips": "univs.data.clips",
    "collate_clips": "univs.data.clip_batches",
    "Photo": "univs.data.photo",
    "RegionLabels": "univs.data.region_labels",
    "IGNORE": "univs.formats.sample",
    "VideoSample": "univs.formats.sample",
}

__all__ = [
    "IGNORE",
    "ClipSettings",
    "Photo",
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
    return getattr(import_module(_HOMES[name]), name)
