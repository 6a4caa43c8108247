"""Modular interactive segmentation (MiVOS): masks made on some frames are carried through the video, and fused."""
