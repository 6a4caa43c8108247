"""Who follows objects with UniVS: for each task frame by frame, or clip by clip as it was released.

Named by module and name, because trackers lie above the networks and few are needed at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHORT_SIDE = 480
"""Pixels: the short side at which a model that follows frame by frame looks at frames if its numbers say none."""
EARLIER = {"own": "frame", "official": "clip"}
"""What the ways were called in weights files of earlier versions, under the name `rules`."""

FRAME, CLIP = "univs.trackers.frame", "univs.trackers.clip.released"
OFFERS: dict[str, dict[str, tuple[str, str]]] = {
    "vos": {
        "frame": (f"{FRAME}.tracker:FrameTracker", f"{FRAME}.tracker:FrameSettings"),
        "clip": (f"{CLIP}:follow_shown", f"{CLIP}:ShownSettings"),
    },
    "pvos": {
        "frame": (f"{FRAME}.tracker:FrameTracker", f"{FRAME}.tracker:FrameSettings"),
        "clip": (f"{CLIP}:follow_named", f"{CLIP}:NamedSettings"),
    },
    "refvos": {
        "frame": (f"{FRAME}.referring:ReferringTracker", f"{FRAME}.referring:ReferringSettings"),
        "clip": (f"{CLIP}:follow_described", f"{CLIP}:DescribedSettings"),
    },
    "vis": {
        "frame": (f"{FRAME}.instances:InstanceTracker", f"{FRAME}.instances:InstanceSettings"),
        "clip": (f"{CLIP}:find_instances", f"{CLIP}:InstanceSettings"),
    },
    "vps": {
        "frame": (f"{FRAME}.panoptic:PanopticTracker", f"{FRAME}.panoptic:PanopticSettings"),
        "clip": (f"{CLIP}:find_segments", f"{CLIP}:SegmentSettings"),
    },
    "vss": dict.fromkeys(
        ("frame", "clip"), ("univs.trackers.semantic:SemanticTracker", "univs.trackers.semantic:SemanticSettings")
    ),
}


def streaming_numbers(given: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a model under today's names, with its way of following and its short side."""
    numbers = dict(given)
    rules = numbers.pop("rules", "own")
    numbers.setdefault("way", EARLIER.get(rules, rules))
    numbers.setdefault("short_side", SHORT_SIDE if numbers["way"] == "frame" else 0)
    return numbers
