"""From interactions with one frame to the mask of an object: one protocol, several ways."""

from univs.interactive.segmenters.clicks import ClickSegmenter
from univs.interactive.segmenters.loading import segmenter_of
from univs.interactive.segmenters.painting import PaintingSegmenter
from univs.interactive.segmenters.prompts import PromptSegmenter
from univs.interactive.segmenters.scribbles import ScribbleSegmenter
from univs.interactive.segmenters.segmenter import Segmented, Segmenter, labels_of, segment_objects

__all__ = [
    "ClickSegmenter",
    "PaintingSegmenter",
    "PromptSegmenter",
    "ScribbleSegmenter",
    "Segmented",
    "Segmenter",
    "labels_of",
    "segment_objects",
    "segmenter_of",
]
