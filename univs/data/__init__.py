"""Readers of labelled images and videos, and the training clips made of them."""

from __future__ import annotations

from univs.data.clips import ClipSettings, TrainingClip, TrainingClips, build_clips, collate_clips
from univs.data.coco_instances import CocoInstances
from univs.data.davis_folder import DavisFolder, LabelledSequence
from univs.data.photo import Photo
from univs.data.photo_masks import PhotoMasks
from univs.data.region_labels import RegionLabels
from univs.data.sample import IGNORE, VideoSample

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
