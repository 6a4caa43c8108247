"""Readers and writers of public data sets in their official layouts: one module per layout, one line per set.

`read_set("davis17", root)` gives a `RecordingSet`: videos read frame by frame, or whole as `VideoSample`.
"""

from univs.formats.recording import Expression, FrameLabels, Recording, RecordingSet
from univs.formats.sets import SETS, find_set, read_set

__all__ = ["SETS", "Expression", "FrameLabels", "Recording", "RecordingSet", "find_set", "read_set"]
