"""Pictures of what was found: colours, overlays, contact sheets; effects around it (numpy, Pillow, SciPy's means)."""

from __future__ import annotations

from univs.visualization.box_marks import draw_rotated_boxes
from univs.visualization.class_overlays import overlay_panoptic, overlay_semantic
from univs.visualization.contact_sheet import contact_sheet
from univs.visualization.effects import blur_background, colour_pop, cut_out, replace_background, spotlight
from univs.visualization.overlay import overlay
from univs.visualization.overlay_modes import overlay_mode
from univs.visualization.palette import class_palette, object_color
from univs.visualization.prompt_marks import draw_prompts

__all__ = [
    "blur_background",
    "class_palette",
    "colour_pop",
    "contact_sheet",
    "cut_out",
    "draw_prompts",
    "draw_rotated_boxes",
    "object_color",
    "overlay",
    "overlay_mode",
    "overlay_panoptic",
    "overlay_semantic",
    "replace_background",
    "spotlight",
]
