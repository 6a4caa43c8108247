"""SynthVS: a small procedural world that gives labelled clips with nothing downloaded (NumPy and Pillow only)."""

from __future__ import annotations

from univs.data.synth.dataset import SynthVS
from univs.data.synth.demo import demo_clip
from univs.data.synth.prompting import draw_prompt

__all__ = ["SynthVS", "demo_clip", "draw_prompt"]
