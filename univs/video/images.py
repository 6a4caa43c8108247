"""Frames in image files: one in each, or all in one (animated WebP and PNG, pages of a TIFF)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from univs.errors import UserError
from univs.video.pictures import (
    check_picture,
    decoded,
    glance_at,
    number_of_pictures,
    one_line_errors,
    read_rgb,
    to_rgb,
)
from univs.video.reader import DEFAULT_FPS, Frame, VideoReader

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class ImageReader(VideoReader):
    """Frames from image files in the natural order of their paths (2.jpg before 10.jpg), turned as EXIF says."""

    def __init__(self, paths: Iterable[Path], name: str) -> None:
        self.name = name
        self._paths = sorted(paths, key=natural_key)
        if not self._paths:
            raise UserError(f"{name} holds no frames; expected images ({' '.join(sorted(IMAGE_SUFFIXES))})")
        named: dict[Path, Path] = {}
        for path in self._paths:
            if (other := named.setdefault(path.with_suffix(""), path)) != path:
                raise UserError(
                    f"{other} and {path.name} have one name: which of them is the frame? Put masks into a folder of "
                    f"their own, or give a glob, such as {path.parent / ('*' + other.suffix)}"
                )
        self.size = check_picture(self._paths[0])
        self.num_frames = len(self._paths)
        for path in self._paths[1:]:  # what is wrong is said before the first frame is answered, not after hours
            if (size := glance_at(path)) != self.size:
                raise UserError(
                    f"{path} is {size[1]}x{size[0]} pixels, the first frame {self._paths[0].name} is "
                    f"{self.size[1]}x{self.size[0]}; all frames of a video must have one size"
                )

    def frames(self) -> Iterator[Frame]:
        return self.frames_from(0)

    def frames_from(self, start: int) -> Iterator[Frame]:
        return map(read_rgb, self._paths[start:])


class PagesReader(VideoReader):
    """Frames from one file of several pictures: an animated WebP or PNG, the pages of a TIFF."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        with one_line_errors(path, "picture"), Image.open(path) as image:
            # What an animated PNG shows where animation is unknown may lie before its frames.
            self._first = int(getattr(image, "default_image", False))
            self.num_frames = number_of_pictures(image) - self._first
            self.size = self._page(image, 0).shape[:2]
            milliseconds = float(image.info.get("duration", 0))
        self.fps = 1000 / milliseconds if milliseconds > 0 else DEFAULT_FPS

    def frames(self) -> Iterator[Frame]:
        with one_line_errors(self._path, "picture"):
            image = Image.open(self._path)
        with image:
            for index in range(self.num_frames or 0):
                with one_line_errors(self._path, "picture"):
                    frame = self._page(image, index)
                yield frame

    def _page(self, image: Image.Image, index: int) -> Frame:
        image.seek(self._first + index)
        return to_rgb(decoded(image, self._path, "picture"), self._path)


def open_images(path: Path) -> VideoReader:
    """The picture or pictures in an image file as a video. Raises UserError if it cannot be read."""
    with one_line_errors(path, "picture"), Image.open(path) as image:
        several = number_of_pictures(image) > 1
    return PagesReader(path) if several else ImageReader([path], name=str(path))


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file (hidden files are not taken)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(folder: Path) -> list[Path]:
    """The image files directly in a folder."""
    return [path for path in folder.iterdir() if is_image(path) and not path.is_dir()]


def natural_key(path: Path | str) -> list[tuple[int, int, str]]:
    """Sorts paths by the numbers in them: 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(1, int(part), part) if number % 2 else (0, 0, part) for number, part in enumerate(parts)]
