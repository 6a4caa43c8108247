"""One way to open whatever holds frames: a file, a folder, a glob, a camera or an iterable of arrays."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.video.images import ImageReader, is_image, list_images
from univs.video.reader import ArrayReader, VideoReader

Source = str | os.PathLike[str] | int | Iterable[Any]


def open_video(source: Source | VideoReader) -> VideoReader:
    """Open a video file, a folder of frames (in natural order), a glob, a camera (its index) or an iterable of frames.

    Raises UserError if there is nothing to read there.
    """
    if isinstance(source, VideoReader):
        return source
    if not isinstance(source, int | str | os.PathLike):
        return ArrayReader(source)
    if not isinstance(source, int) and Path(source).is_dir():
        return ImageReader(list_images(Path(source)), name=os.fspath(source))

    from univs.video.av_reader import CameraReader, FileReader  # only now: PyAV takes 15 MiB

    if isinstance(source, int):
        return CameraReader(source)
    path, text = Path(source), os.fspath(source)
    if path.is_file():
        return FileReader(path)
    if text.isascii() and text.isdigit():
        return CameraReader(int(text))
    if not glob.has_magic(text):
        raise UserError(f"{text} does not exist; give a video file, a folder of frames, a glob or a camera index")
    matches = [Path(match) for match in glob.glob(text, recursive=True) if Path(match).is_file()]
    images = [match for match in matches if is_image(match)]
    if images:
        return ImageReader(images, name=text)
    if len(matches) == 1:
        return FileReader(matches[0])
    found = "nothing" if not matches else f"{len(matches)} files that are no images"
    raise UserError(f"the glob {text} matches {found}; it must match frames (images) or one video file")
