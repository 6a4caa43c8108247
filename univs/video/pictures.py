"""One way to open a picture file, for frames, photos and masks: decoded, upright, and errors of one line.

Every picture is turned as its EXIF orientation says, so that it lies as people see it and as masks are drawn over it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from univs.errors import UserError
from univs.files import atomic_path
from univs.mistaken_files import download_fault

_UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})


class Picture(NamedTuple):
    """A decoded picture: upright, its file format, and how the file packs a pixel (Pillow's raw mode, "RGB;16B")."""

    image: Image.Image
    format: str
    packing: str


def read_rgb(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """The picture in a file as it is seen, H W 3 uint8 RGB.

    16 bits are scaled to 8 (v >> 8); colours beneath transparency stay as they are stored; colour profiles are not
    applied. Raises UserError, naming the file, if there is none, if it cannot be decoded whole, if it holds several
    pictures, floating-point or 32-bit values, or more pixels than Pillow allows (`PIL.Image.MAX_IMAGE_PIXELS` twice).
    """
    picture = open_picture(path, "picture")
    with one_line_errors(path, "picture"):
        return to_rgb(picture, path)


def write_picture(path: Path, pixels: NDArray[Any]) -> None:
    """Write H W 3 uint8 as JPEG or PNG, H W bool, uint8 or uint16 as PNG, by the suffix, whole or not at all.

    Folders are made. Masks of ids go through `univs.masks.mask_files`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".png":
            Image.fromarray(pixels).save(temporary, "PNG")
        else:
            Image.fromarray(pixels).save(temporary, "JPEG", quality=95)


def open_picture(path: str | os.PathLike[str], what: str, expected: str = "an image") -> Picture:
    """The one picture in a file. Raises UserError as `read_rgb`.

    what, expected: "picture", "mask" or the like and what would be right in its place, for messages.
    """
    if os.path.isdir(path):
        raise UserError(f"the {what} {path} is a folder; expected {expected}")
    with one_line_errors(path, what, expected), Image.open(path) as image:
        _refuse_several(image, path, what)
        return decoded(image, path, what)


def decoded(image: Image.Image, path: str | os.PathLike[str], what: str) -> Picture:
    """The picture at which an opened file stands. Raises UserError, and whatever Pillow raises."""
    packing = packing_of(image)
    _refuse_planes(image, packing, path, what)
    image.load()
    return Picture(upright(image), str(image.format), packing)


def number_of_pictures(image: Image.Image) -> int:
    """How many pictures an opened file holds: pages of a TIFF, frames of an animation."""
    # The further pictures in a phone's JPEG (MPO) are a depth map or a thumbnail.
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def picture_sizes(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) of a picture as it is seen and as it is stored, from the head of its file. UserError as above."""
    with one_line_errors(path, "picture"), Image.open(path) as image:
        _refuse_several(image, path, "picture")
        return _sizes(image)


def check_picture(path: Path) -> tuple[int, int]:
    """Height and width of a picture as it is seen, once it is decoded whole: a JPEG much faster than by `read_rgb`.

    Raises UserError as `read_rgb`.
    """
    with one_line_errors(path, "picture"), Image.open(path) as image:
        if image.format == "JPEG":
            size = _sizes(image)[0]
            image.draft("L", (1, 1))  # an eighth of the size: the whole file is read, few pixels are made
            image.load()
            return size
    height, width, _ = read_rgb(path).shape
    return height, width


def glance_at(path: Path) -> tuple[int, int]:
    """Height and width of a picture as it is seen, and whether its file is whole, as fast as can be told.

    The end of a PNG, JPEG or WebP file says that it is whole; others are decoded. Raises UserError as `read_rgb`.
    """
    with one_line_errors(path, "picture"), open(path, "rb") as file:
        head = file.read(12)
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - 12))
        tail = file.read()
    whole = (
        (head.startswith(b"\x89PNG") and b"IEND" in tail)
        or (head.startswith(b"\xff\xd8") and tail.endswith(b"\xff\xd9"))
        or (head.startswith(b"RIFF") and int.from_bytes(head[4:8], "little") + 8 <= length)
    )
    return picture_sizes(path)[0] if whole else check_picture(path)


def _sizes(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) of an opened picture as it is seen and as it is stored, before it is decoded."""
    if image.format == "TIFF":  # Pillow turns these itself, and says so only once they are decoded
        tags: Any = image
        stored = int(tags.tag_v2[257]), int(tags.tag_v2[256])
        sideways = tags.tag_v2.get(int(ExifTags.Base.Orientation)) in _SIDEWAYS
    else:
        stored = image.height, image.width
        sideways = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    return (stored[::-1] if sideways else stored), stored


def upright(image: Image.Image) -> Image.Image:
    """A decoded picture turned as its EXIF orientation says."""
    # Not ImageOps.exif_transpose: that writes the other EXIF fields anew and fails on those that are malformed.
    method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if method is None:
        return image
    info = dict(image.info)
    turned = image.transpose(method)
    turned.info = info
    return turned


def packing_of(image: Image.Image) -> str:
    """How the file of an opened picture packs a pixel; its mode where Pillow does not say. Before it is decoded."""
    tiles: Any = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else image.mode
    first = arguments if isinstance(arguments, str) or not arguments else arguments[0]
    return first if isinstance(first, str) else image.mode


def to_rgb(picture: Picture, path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """H W 3 uint8 RGB of a decoded picture (see `read_rgb`)."""
    image = picture.image
    if image.mode.startswith("I;16") or (image.mode == "I" and picture.format == "PNG"):
        shift = 4 if picture.packing.startswith("I;12") else 8
        grey = (np.asarray(image).astype(np.int32) >> shift).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        kind = "floating-point" if image.mode == "F" else "32-bit or signed"
        raise UserError(f"the picture {path} holds {kind} values; expected 8 or 16 bits a channel")
    if image.mode in ("PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


@contextmanager
def one_line_errors(path: str | os.PathLike[str], what: str, expected: str = "an image") -> Iterator[None]:
    """Turns whatever Pillow raises or warns of for a file into one UserError that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, and sizes between Pillow's two limits, which are welcome
            yield
    except UserError:
        raise
    except FileNotFoundError:
        link = f" (a link to {os.readlink(path)})" if os.path.islink(path) else ""
        raise UserError(f"the {what} {path}{link} does not exist") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(f"the {what} {path} is {_size_of_bomb(path)} pixels; no more than {limit} are read") from None
    except Exception as error:  # decoders raise nearly anything for broken files: struct.error, KeyError, MemoryError
        fault = download_fault(Path(path), "a picture") if os.path.isfile(path) and os.access(path, os.R_OK) else None
        reason = f"it {fault}" if fault else " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot read the {what} {path}: {reason}; expected {expected}") from None


def _refuse_several(image: Image.Image, path: str | os.PathLike[str], what: str) -> None:
    pages = number_of_pictures(image)
    if pages > 1:
        raise UserError(f"the {what} {path} holds {pages} pictures; expected one, or each in a file of its own")


def _refuse_planes(image: Image.Image, packing: str, path: str | os.PathLike[str], what: str) -> None:
    """Pillow reads the planes of a planar TIFF of 16 bits as if they had 8."""
    tags: Any = image
    if image.format == "TIFF" and packing in ("R", "L", "1") and max(tags.tag_v2.get(258, (1,))) > 8:
        raise UserError(
            f"the {what} {path} is a TIFF of 16 bits in separate planes; save it with its channels together"
        )


def _size_of_bomb(path: str | os.PathLike[str]) -> str:
    """WIDTHxHEIGHT out of the head of a file that Pillow's check of sizes refuses."""
    with open(path, "rb") as file:
        for kind in Image.ID:
            width_height = _size_by(kind, file)
            if width_height is not None:
                return "x".join(map(str, width_height))
    return "too many"


def _size_by(kind: str, file: BinaryIO) -> tuple[int, int] | None:
    factory, accepts = Image.OPEN[kind]
    file.seek(0)
    prefix = file.read(16)
    if accepts is not None and accepts(prefix) is not True:
        return None
    file.seek(0)
    try:
        return factory(file, "").size
    except Exception:  # not a file of this kind
        return None
