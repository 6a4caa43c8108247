"""SynthVS: a small procedural world that gives labelled clips with nothing downloaded (NumPy and Pillow only)."""

from __future__ import annotations

from univs.data.synth.dataset import SynthVS

__all__ = ["SynthVS"]
