"""Frames and masks in image files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from univs.errors import UserError
from univs.files import atomic_path
from univs.video.reader import Frame, VideoReader

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MAX_PNG_ID = 254  # 255 means "ignore" in the DAVIS format


class ImageReader(VideoReader):
    """Frames from image files in the natural order of their paths (2.jpg before 10.jpg), turned as EXIF says."""

    def __init__(self, paths: Iterable[Path], name: str) -> None:
        self.name = name
        self._paths = sorted(paths, key=_natural_key)
        if not self._paths:
            raise UserError(f"{name} holds no frames; expected images ({' '.join(sorted(IMAGE_SUFFIXES))})")
        self.size = _read_rgb(self._paths[0]).shape[:2]
        self.num_frames = len(self._paths)

    def frames(self) -> Iterator[Frame]:
        return map(_read_rgb, self._paths)


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file (hidden files are not taken)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(folder: Path) -> list[Path]:
    """The image files directly in a folder."""
    return [path for path in folder.iterdir() if is_image(path) and path.is_file()]


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", str(path))
    return [(1, int(part), part) if number % 2 else (0, 0, part) for number, part in enumerate(parts)]


def _read_rgb(path: Path) -> Frame:
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return np.array(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three for broken files
        raise UserError(f"cannot read the frame {path}: {_one_line(error)}") from None


def read_label_png(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a mask image as H x W labels: 0 background, 1..254 object ids, 255 ignore.

    An indexed image keeps its indices. A grey or colour image is binary: object 1 where it is brighter than half (or
    non-zero, if it holds only 0 and 1); only if none of it is that bright, its grey values are taken as ids.
    Raises UserError if it is no image.
    """
    try:
        with Image.open(path) as image:
            if image.mode == "P":
                return np.array(image)
            grey = np.array(image.convert("L"))
    except FileNotFoundError:
        raise UserError(f"the mask {path} does not exist") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"cannot read the mask {path}: {_one_line(error)}; expected an indexed or binary PNG") from None
    bright = grey > 127
    return bright.astype(np.uint8) if bright.any() else grey


def write_indexed_png(path: str | os.PathLike[str], labels: NDArray[Any], palette: Sequence[int]) -> None:
    """Write H x W labels as an indexed PNG, whole or not at all.

    palette: up to 256 RGB triples in one flat list. Ids above 254 do not fit (255 means "ignore") and become 0.
    Raises OSError as `open` does.
    """
    indices = np.where((labels >= 0) & (labels <= MAX_PNG_ID), labels, 0).astype(np.uint8)
    image = Image.fromarray(indices, mode="P")
    image.putpalette(list(palette))
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
