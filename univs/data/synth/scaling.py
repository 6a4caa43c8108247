"""Resizing whose result does not depend on the version of Pillow."""

from __future__ import annotations

from PIL import Image


def resized(
    picture: Image.Image, height: int, width: int, resample: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """The picture at height x width pixels, scaled in y first and then in x.

    Pillow's own `resize` rounds to whole levels between the two passes, and which comes first differs from version to
    version.
    """
    return picture.resize((picture.width, height), resample).resize((width, height), resample)
