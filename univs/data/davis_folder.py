"""Video folders in the layout of DAVIS: `JPEGImages/<sequence>/*.jpg` and `Annotations/<sequence>/*.png`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.files import folders_in
from univs.formats.davis import resolution_folder
from univs.formats.files import files_by_stem, read_names, require_folder
from univs.formats.label_files import read_labels, require_same_size, sizes_of
from univs.formats.sample import VideoSample
from univs.masks.mask_files import is_mask
from univs.video.images import is_image
from univs.video.pictures import check_picture, read_rgb


@dataclass(frozen=True)
class LabelledSequence:
    """One video with a mask file for every frame; frames are read when asked for."""

    name: str  # "folder/sequence"
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    complete: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame H W 3 uint8 RGB and its labels H W uint8 (ids, 255 unknown; see `read_labels`)."""
        image, labels = read_rgb(self.frames[index]), read_labels(self.masks[index])
        require_same_size(image, labels, f"mask {self.masks[index]}", self.frames[index])
        return image, labels

    def need_whole(self, count: int) -> None:
        """Raises UserError unless the first `count` frames and masks can be read to their end and are of one size."""
        for frame, mask in zip(self.frames[:count], self.masks[:count], strict=True):
            size, (height, width) = check_picture(frame), read_labels(mask).shape
            if (height, width) != size:
                raise UserError(f"mask {mask} is {width}x{height} pixels, {sizes_of(size, frame)}")

    def sample(self) -> VideoSample:
        """The whole sequence in memory."""
        frames, labels = zip(*(self.read(index) for index in range(len(self))), strict=True)
        return VideoSample(np.stack(frames), np.stack(labels), complete=self.complete, name=self.name)


class DavisFolder:
    """The sequences of a DAVIS-style folder, by index."""

    def __init__(
        self,
        root: str | Path,
        *,
        exclude: str | Path | list[str] | None = None,
        image_set: str | Path | None = None,
        complete: bool = False,
    ) -> None:
        """Lists the files of every sequence; frames without a mask file are left out.

        A resolution folder (`480p`) below JPEGImages and Annotations is found by itself. `image_set` is a text file
        with the sequences to take, one a line; `exclude` names sequences as `sequence` or `folder/sequence`, folder
        being that of `root`. Raises UserError for missing folders, and for a sequence or mask that has no partner.
        """
        root = Path(root)
        images = resolution_folder(require_folder(root / "JPEGImages", "DAVIS-style folder"))
        masks = resolution_folder(require_folder(root / "Annotations", "DAVIS-style folder"))
        if image_set is None:
            names = folders_in(images)
        else:
            names = sorted(read_names(image_set))
        banned = read_names(exclude)
        self.name = root.name
        self.sequences = [
            list_sequence(f"{root.name}/{name}", images / name, masks / name, complete)
            for name in names
            if name not in banned and f"{root.name}/{name}" not in banned
        ]
        if not self.sequences:
            raise UserError(f"DAVIS-style folder {root}: no sequence left to read")

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> LabelledSequence:
        return self.sequences[index]


def list_sequence(name: str, images: Path, masks: Path, complete: bool) -> LabelledSequence:
    """Frames that have a mask, in order of their names."""
    require_folder(images, f"sequence {name}: frames")
    require_folder(masks, f"sequence {name}: masks")
    frame_of = files_by_stem(images, is_image, f"sequence {name}")
    mask_of = files_by_stem(masks, is_mask, f"sequence {name}")
    for stem in sorted(mask_of.keys() - frame_of.keys()):
        raise UserError(f"sequence {name}: mask {mask_of[stem]} has no frame in {images}")
    stems = sorted(mask_of)
    if not stems:
        raise UserError(f"sequence {name}: no masks in {masks}")
    return LabelledSequence(name, tuple(frame_of[s] for s in stems), tuple(mask_of[s] for s in stems), complete)
