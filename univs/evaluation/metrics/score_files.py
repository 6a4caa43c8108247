"""Files of the benchmarks as the scorers read them: label maps, lists, JSON; what is wrong is said in one line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from univs import texts
from univs.errors import UserError
from univs.files import folders_in, is_stray
from univs.masks.mask_files import read_codes, read_values

if TYPE_CHECKING:
    from typing_extensions import Self

Labels = NDArray[np.integer[Any]]


def need_folder(path: Path, holds: str) -> Path:
    """The path itself, if it is a folder; UserError saying what it should hold if not."""
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}; expected a folder that holds {holds}")
    return path


def need_file(path: Path, holds: str) -> Path:
    """The path itself, if it is a file; UserError saying what it should hold if not."""
    if not path.is_file():
        what = "is a folder" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}; expected a file with {holds}")
    return path


def read_lines(path: Path, holds: str) -> list[str]:
    """The lines of a list that are not empty, without blanks around them. UserError if there is none."""
    found = texts.read_entries(need_file(path, holds), f"{holds}, one a line")
    if not found:
        raise UserError(f"{path} is empty; expected {holds}, one a line")
    return found


def find_json(path: Path, holds: str) -> Path:
    """The path of a JSON file, or that of the .gz beside it if there is only this; UserError if there is neither."""
    packed = path.parent / f"{path.name}.gz"  # "." and "/" have no name
    return need_file(packed if not path.exists() and packed.is_file() else path, holds)


def read_json(path: Path, holds: str) -> Any:
    """What a JSON file holds; one packed by gzip (.gz) is unpacked, and found where only the other name was given."""
    return texts.read_json(find_json(path, holds), holds)


def read_labels(path: Path, size: tuple[int, int] | None = None) -> Labels:
    """The indices of a PNG as they are stored, H W uint8 (or int32 of a 16-bit one).

    Args:
        size: height and width that it must have.
    Raises UserError for a missing or broken file, colours, or another size.
    """
    return _of_size(read_values(path), path, size)


def read_ids(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint32]:
    """The ids R + 256 G + 65536 B of an RGB PNG, H W, which must be of that size.

    Raises UserError for a missing or broken file, one without colours, or another size.
    """
    return _of_size(read_codes(path), path, size)


def read_pair(
    truth: Path, prediction: Path, read: Callable[..., Any] = read_labels, size: tuple[int, int] | None = None
) -> tuple[Labels, Labels]:
    """A true and a predicted map of one size, H W, by `read_labels` or `read_ids`. Raises UserError where these do."""
    true = read(truth, size)
    return true, read(prediction, true.shape)


@dataclass(frozen=True)
class LabelFolders:
    """A video to score: its folders of true and predicted maps, and the names of its frames."""

    name: str
    truth: Path
    prediction: Path
    frames: tuple[str, ...]

    @classmethod
    def find(cls, name: str, truth: Path, prediction: Path, needed: slice = slice(None), **more: Any) -> Self:
        """All frames of the folder `truth`. Raises UserError for what is missing.

        Args:
            needed: the frames that must have been predicted.
            more: what a kind of video has beside folders and frames.
        """
        frames = tuple(frame_names(truth))
        need_frames(prediction, frames[needed], truth)
        return cls(name, truth, prediction, frames, **more)

    def files(self, frame: str) -> tuple[Path, Path]:
        """The true and the predicted map of a frame."""
        return self.truth / f"{frame}.png", self.prediction / f"{frame}.png"


def frame_names(folder: Path) -> list[str]:
    """Names of the PNG of a folder, without suffix, in order; hidden files are none. UserError if there is none."""
    files = need_folder(folder, ".png frames").iterdir()
    names = sorted(path.stem for path in files if path.suffix == ".png" and not is_stray(path.name))
    if not names:
        raise UserError(f"{folder} holds no .png frames")
    return names


def video_names(folder: Path, holds: str) -> list[str]:
    """Names of the folders in a folder, in order; hidden ones are none. UserError if there is none."""
    names = folders_in(need_folder(folder, holds))
    if not names:
        raise UserError(f"{folder} holds no folder of a video; expected {holds}")
    return names


def need_frames(folder: Path, names: Iterable[str], truth: Path) -> None:
    """UserError if a folder of predictions lacks a frame that the folder `truth` has."""
    present: Collection[str] = {path.name for path in need_folder(folder, f"predictions for {truth}").iterdir()}
    missing = [name for name in names if f"{name}.png" not in present]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{folder / (missing[0] + '.png')}{more} missing; expected the frames of {truth}")


def _of_size(labels: Any, path: Path, size: tuple[int, int] | None) -> Any:
    if size is not None and labels.shape != size:
        raise UserError(f"{path} is {labels.shape[0]}x{labels.shape[1]} (height x width); expected {size[0]}x{size[1]}")
    return labels
