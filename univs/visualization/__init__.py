"""Pictures of what was found: colours, overlays and contact sheets (numpy and Pillow only)."""

from __future__ import annotations

from univs.visualization.class_overlays import overlay_panoptic, overlay_semantic
from univs.visualization.contact_sheet import contact_sheet
from univs.visualization.overlay import overlay
from univs.visualization.overlay_modes import overlay_mode
from univs.visualization.palette import class_palette, object_color
from univs.visualization.prompt_marks import draw_prompts

__all__ = [
    "class_palette",
    "contact_sheet",
    "draw_prompts",
    "object_color",
    "overlay",
    "overlay_mode",
    "overlay_panoptic",
    "overlay_semantic",
]
