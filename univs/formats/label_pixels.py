"""Label maps of data sets as they lie in files, within 8 bits, and whether they fit the pictures that they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.masks.mask_files import read_objects, read_values
from univs.masks.meanings import IGNORE
from univs.video.pictures import picture_sizes


def read_indices(path: Path) -> np.ndarray:
    """Values of an indexed or grey label map as stored, H W uint8. Raises UserError for any other file."""
    return _of_8_bits(read_values(path), path)


def read_labels(path: Path) -> np.ndarray:
    """Labels H W uint8 of a mask of objects (`univs.masks.mask_files.read_objects`): ids 1..254, 255 unknown."""
    found = read_objects(path)
    return np.where(found.void, IGNORE, _of_8_bits(found.ids, path, IGNORE - 1)).astype(np.uint8)


def _of_8_bits(values: np.ndarray, path: Path, largest: int = 255) -> np.ndarray:
    if values.max(initial=0) > largest:
        raise UserError(f"mask {path} holds {values.max()}; data sets hold ids up to {largest}")
    return values.astype(np.uint8)


def require_same_size(shown: tuple[int, ...], labels: np.ndarray, what: str, picture: Path) -> None:
    """Raises UserError unless labels, which `what` names, have the size (H, W) at which their picture is seen."""
    if shown[:2] != labels.shape:
        raise UserError(f"{what} is {_width_height(labels.shape)} pixels, {sizes_of(shown[:2], picture)}")


def sizes_of(shown: tuple[int, ...], picture: Path) -> str:
    """Words for the size of a picture as it is seen and, where EXIF turns it, as it is stored."""
    words, stored = f"its image is {_width_height(shown)}", picture_sizes(picture)[1]
    return words if stored == shown else f"{words} as it is seen, {_width_height(stored)} as stored (EXIF turns it)"


def _width_height(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"
