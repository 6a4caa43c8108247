"""Photo mode: a folder of photos gives backgrounds, textures and, with label maps beside them, cut-out objects."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from univs.data.photo import shrink
from univs.data.synth.dice import Dice
from univs.data.synth.inpainting import without_object
from univs.data.synth.scaling import resized
from univs.data.synth.sprites import trim
from univs.errors import UserError
from univs.formats.files import files_by_stem, require_folder
from univs.formats.label_pixels import read_indices, require_same_size
from univs.masks.mask_files import is_mask
from univs.video.images import IMAGE_SUFFIXES, is_image
from univs.video.pictures import read_rgb

LABEL_FOLDERS = ("segments", "labels", "masks")
LONGEST = 640
UNKNOWN = 255  # of a label map: no region
KEPT = 48  # decoded photos held in memory
LEAST, MOST = 0.01, 0.3  # share of the photo that a region must cover to become an object


@dataclass(frozen=True)
class TakenApart:
    """A photo (h w 3 uint8) without one of its objects, that object (h w 4 uint8 RGBA) and its middle (pixels x y)."""

    photo: np.ndarray
    cut_out: np.ndarray
    middle: tuple[float, float]


class PhotoFolder:
    """The photos of `root` (or of `root/images`), sorted by name.

    Label maps, if there are any, lie in `root/segments`, `root/labels` or `root/masks` as grey or indexed PNGs of the
    same stem and size: every value is one region, 255 is none. Where 0 and 255 are all there is, it is a mask: 255 is
    the one region, 0 none. Raises UserError for a folder without photos.
    """

    def __init__(self, root: str | Path) -> None:
        root = require_folder(Path(root), "photos of SynthVS")
        folder = root / "images" if (root / "images").is_dir() else root
        self.files = sorted(path for path in folder.iterdir() if is_image(path))
        if not self.files:
            raise UserError(f"photos of SynthVS: no {', '.join(sorted(IMAGE_SUFFIXES))} files in {folder}")
        label_folder = next((root / name for name in LABEL_FOLDERS if (root / name).is_dir()), None)
        masks = {} if label_folder is None else files_by_stem(label_folder, is_mask, "label maps of SynthVS")
        self.labels = [masks.get(path.stem) for path in self.files]
        self._labelled = [number for number, path in enumerate(self.labels) if path]
        self._kept: OrderedDict[int, tuple[np.ndarray, np.ndarray | None]] = OrderedDict()

    def photo(self, dice: Dice) -> np.ndarray:
        """One of the photos, h w 3 uint8."""
        return self._load(dice.integer(len(self.files)))[0]

    def texture(self, dice: Dice, height: int, width: int) -> np.ndarray:
        """A piece of a photo at a random scale, height x width x 3 uint8."""
        photo = self.photo(dice)
        rows, columns = photo.shape[:2]
        scale = dice.uniform(0.3, 1.0) * min(rows / height, columns / width)
        high, wide = max(2, int(height * scale)), max(2, int(width * scale))
        top, left = dice.integer(rows - high + 1), dice.integer(columns - wide + 1)
        piece = Image.fromarray(np.ascontiguousarray(photo[top : top + high, left : left + wide]))
        return np.asarray(resized(piece, height, width))

    def cut_out(self, dice: Dice) -> np.ndarray | None:
        """A region of a photo cut out along its outline, h w 4 uint8 RGBA; None if no label map has a fitting one."""
        found = self._region(dice)
        return None if found is None else _cut(*found)

    def taken_apart(self, dice: Dice) -> TakenApart | None:
        """A photo and one of its objects, to be moved apart ("lucid dreams", Khoreva et al. 2019); None as above."""
        found = self._region(dice)
        if found is None:
            return None
        photo, mask = found
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        middle = (columns[0] + columns[-1] + 1) / 2, (rows[0] + rows[-1] + 1) / 2
        return TakenApart(without_object(photo, mask), _cut(photo, mask), middle)

    def _region(self, dice: Dice) -> tuple[np.ndarray, np.ndarray] | None:
        """A photo and the mask of one of its regions, h w bool; None if a few label maps have none that fits."""
        for _ in range(3 if self._labelled else 0):
            photo, labels = self._load(dice.pick(self._labelled))
            assert labels is not None
            count = np.bincount(labels.reshape(-1), minlength=256)
            count[UNKNOWN] = 0
            fitting = np.flatnonzero((count >= LEAST * labels.size) & (count <= MOST * labels.size))
            if len(fitting):
                return photo, labels == int(fitting[dice.integer(len(fitting))])
        return None

    def _load(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        photo, path = read_rgb(self.files[number]), self.labels[number]
        if path is None:
            photo = shrink(photo, np.zeros(photo.shape[:2], np.uint8), LONGEST)[0]
            entry: tuple[np.ndarray, np.ndarray | None] = (photo, None)
        else:
            labels = _regions(read_indices(path))
            require_same_size(photo.shape, labels, f"label map {path}", self.files[number])
            entry = shrink(photo, labels, LONGEST)
        self._kept[number] = entry
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return entry


def _regions(values: np.ndarray) -> np.ndarray:
    """Regions of a label map as stored; those of a binary mask are its object alone."""
    return np.where(values == 0, UNKNOWN, 1).astype(np.uint8) if np.isin(values, (0, UNKNOWN)).all() else values


def _cut(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha = np.pad(mask[window].astype(np.uint8) * 255, 2)
    soft = np.asarray(Image.fromarray(alpha).filter(ImageFilter.BoxBlur(1)))
    colours = np.pad(photo[window], ((2, 2), (2, 2), (0, 0)), mode="edge")
    return trim(np.concatenate([colours, soft[..., None]], -1))
