"""One way to open whatever holds frames: a file, a folder, a glob, a camera or an iterable of arrays."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.video.images import IMAGE_SUFFIXES, ImageReader, is_image, list_images, open_images
from univs.video.reader import ArrayReader, VideoReader

VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm"}
    | {".wmv", ".y4m"}
)
"""Of the videos that are looked for in a folder without frames; a file that is named may have any suffix."""

Source = str | os.PathLike[str] | int | Iterable[Any]


def open_video(source: Source | VideoReader) -> VideoReader:
    """Open a video file, a folder of frames (in natural order), a glob, a camera (its index) or an iterable of frames.

    An animated WebP or PNG and a TIFF of several pages are videos too, and so is a folder that holds one video file
    instead of frames. Raises UserError if there is nothing to read there.
    """
    if isinstance(source, VideoReader):
        return source
    if not isinstance(source, int | str | os.PathLike):
        if not isinstance(source, Iterable):
            raise UserError(f"{source!r:.40} is no video; give a path, a camera index or frames")
        return ArrayReader(source)
    if isinstance(source, int):
        return _camera(source)
    path, text = Path(source), os.fspath(source)
    if not text:
        raise UserError("the video has no name; give a video file, a folder of frames, a glob or a camera index")
    if path.is_dir():
        images = list_images(path)
        return _open_all(images, text) if images else _open_file(_only_video(path))
    if path.is_file():
        return _open_file(path)
    if text.isascii() and text.isdigit():
        return _camera(int(text))
    if path.exists():
        raise UserError(f"{text} is no file but a device or a pipe; save the video to a file first")
    if not glob.has_magic(text):
        raise UserError(f"{text} does not exist; give a video file, a folder of frames, a glob or a camera index")
    matches = [Path(match) for match in glob.glob(text, recursive=True) if not Path(match).is_dir()]
    images = [match for match in matches if is_image(match)]
    if images:
        return _open_all(images, text)
    if len(matches) == 1:
        return _open_file(matches[0])
    found = "nothing" if not matches else f"{len(matches)} files that are no images"
    raise UserError(f"the glob {text} matches {found}; it must match frames (images) or one video file")


def _open_all(images: list[Path], name: str) -> VideoReader:
    """Images as frames; where there is just one, it may hold them all."""
    return open_images(images[0]) if len(images) == 1 else ImageReader(images, name)


def _open_file(path: Path) -> VideoReader:
    if is_image(path):
        return open_images(path)

    from univs.video.av_reader import FileReader  # only now: PyAV takes 15 MiB

    return FileReader(path)


def _camera(index: int) -> VideoReader:
    from univs.video.av_reader import CameraReader

    return CameraReader(index)


def _only_video(folder: Path) -> Path:
    """The one video file in a folder without frames. UserError, saying what it holds, if there is not just one."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    videos = [path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if len(videos) == 1:
        return videos[0]
    folders = [path for path in entries if path.is_dir()]
    if videos:
        hint = f", but {len(videos)} videos; give one of them, such as {videos[0]}"
    elif folders:
        hint = f", but folders; give one of them, such as {folders[0]}"
    else:
        hint = f": no images ({' '.join(sorted(IMAGE_SUFFIXES))}) and no video"
    raise UserError(f"{folder} holds no frames{hint}")
