"""Mask files in and out: the one place that decides what the pixels of one are, for prompts, data sets and scores.

`read_objects` says which objects a mask shows and refuses what might be two things (`univs.masks.meanings` has the
rules, docs/inputs.md the table). `read_values` gives the numbers of label maps as they are stored, whatever they mean
to a data set or a metric, `read_codes` ids that are stored as colours.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from univs.errors import UserError
from univs.files import atomic_path
from univs.masks.meanings import (
    IGNORE,
    Objects,
    Values,
    coloured_objects,
    grey_objects,
    indexed_objects,
    opaque_objects,
)
from univs.masks.palette import NAMED, NO_ID, davis_palette, ids_of_colours
from univs.prompts import LARGEST_ID
from univs.video.pictures import Picture, open_picture

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
"""Of formats that keep every value."""
LOSSY = frozenset({"AVIF", "DDS", "JPEG", "JPEG2000", "MPO"})
"""Formats that keep no values, or of which files do not say whether they do."""
GREYS = {"L;2": 85, "L;4": 17}
"""How a grey file of less than 8 bits packs a pixel -> by what Pillow multiplies its values."""
TITLE = "object ids"
"""What 16-bit masks written here have as their title: every value is an id, also 255 and 65535."""


def is_mask(path: Path) -> bool:
    """Whether the name is that of a file of a format that keeps every value (hidden files are not taken)."""
    return path.suffix.lower() in MASK_SUFFIXES and not path.name.startswith(".")


def read_objects(path: str | os.PathLike[str], *, single: bool = False) -> Objects:
    """The objects of a mask file: ids H W, 0 background, and where nothing is known.

    Indexed: its indices. Grey of 8 or 16 bits: its values. 0 and the largest value alone: one object, number 1. Alpha:
    the object is what is opaque. Colours: those of the DAVIS palette. single: it is known to show one object, whose
    edges may be as soft as they like. Raises UserError, saying what would be right, for a file that cannot be read and
    for masks that may mean two things (docs/inputs.md).
    """
    where = f"the mask {os.fspath(path)}"
    found = _objects(_lossless(path), where, single)
    if single and len(ids := np.unique(found.ids[found.ids > 0])) > 1:
        raise UserError(f"{where} holds {len(ids)} objects ({ids[0]} to {ids[-1]}); expected one, as 0 and 255")
    return found


def read_values(path: str | os.PathLike[str]) -> Values:
    """The numbers of an indexed or grey file as they are stored, H W: uint8, or int32 of a 16-bit one.

    Raises UserError for colours, transparency, floating-point values and files that cannot be read.
    """
    where = f"the label map {os.fspath(path)}"
    return _numbers(_lossless(path), where)


def read_codes(path: str | os.PathLike[str]) -> NDArray[np.uint32]:
    """The ids R + 256 G + 65536 B of a file in colours, H W. Raises UserError for one without colours."""
    picture = _lossless(path)
    if picture.image.mode not in ("RGB", "RGBA"):
        raise UserError(
            f"{path} has no colours (mode {picture.image.mode}); expected an RGB PNG of ids, R + 256 G + 65536 B"
        )
    _refuse_deep_channels(picture, os.fspath(path))
    pixels = np.asarray(picture.image.convert("RGBA"))
    return pixels.view("<u4")[..., 0] & np.uint32(0xFFFFFF)


def read_marked(path: str | os.PathLike[str]) -> NDArray[np.bool_]:
    """Whatever a mask of one object marks, H W: what is not 0 (void too), not black, or opaque where that is told."""
    where = f"the mask {os.fspath(path)}"
    picture = _lossless(path)
    if picture.image.mode not in ("RGB", "RGBA", "LA", "PA"):
        return np.asarray(_numbers(picture, where) > 0)
    pixels = np.asarray(picture.image.convert("RGBA"))
    if len(np.unique(pixels[..., 3])) == 1:
        return np.asarray(pixels[..., :3].any(-1))
    return opaque_objects(pixels[..., :3], pixels[..., 3], where).ids > 0


def write_objects(path: str | os.PathLike[str], ids: NDArray[Any]) -> None:
    """Write H W object ids, whole or not at all: indexed in the colours of DAVIS; in 16 bits where one is above 254.

    Raises ValueError for ids below 0 or above 65535, OSError as `open` does.
    """
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= LARGEST_ID:
        raise ValueError(f"ids must be 0 to {LARGEST_ID}, not {ids.min()} to {ids.max()}")
    if int(ids.max(initial=0)) < IGNORE:
        write_labels(path, ids.astype(np.uint8))
        return
    title = PngInfo()
    title.add_text("Title", TITLE)
    with atomic_path(path) as temporary:
        Image.fromarray(ids.astype(np.uint16)).save(temporary, format="PNG", pnginfo=title)


def write_labels(path: str | os.PathLike[str], labels: NDArray[np.uint8]) -> None:
    """Write H W labels (255: nothing is known) as an indexed PNG in the colours of DAVIS, whole or not at all.

    Folders are made.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(labels, np.uint8), mode="P")
    image.putpalette(davis_palette())
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def _objects(picture: Picture, where: str, single: bool) -> Objects:
    image = picture.image
    if image.mode == "P":
        return _indexed(image, where, single)
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        _refuse_deep_channels(picture, where)
        pixels = np.asarray(image.convert("RGBA"))
        return opaque_objects(pixels[..., :3], pixels[..., 3], where, single)
    if image.mode == "RGB":
        _refuse_deep_channels(picture, where)
        return coloured_objects(np.asarray(image), where, single)
    values = _numbers(picture, where)
    if picture.packing in GREYS:
        levels = np.unique(values)
        if len(levels) > 2 or (len(levels) == 2 and levels[0] > 0):
            raise UserError(f"{where} is grey of {picture.packing[2:]} bits: ids, or brightness? Store ids in 8 bits")
        values = np.where(values > 0, IGNORE if levels[-1] > 1 else 1, 0).astype(np.uint8)
    if image.mode in ("1", "L"):
        return grey_objects(values, where, single=single)
    if image.info.get("Title") == TITLE:
        return Objects(values, np.zeros(values.shape, bool))
    return grey_objects(values, where, LARGEST_ID, single)


def _lossless(path: str | os.PathLike[str]) -> Picture:
    """The decoded file. Raises UserError for formats that do not keep values."""
    picture = open_picture(path, "mask", expected="an indexed or grey PNG")
    compression = str(picture.image.info.get("compression", ""))
    smeared = "jpeg" in compression or (picture.format == "WEBP" and not _is_lossless_webp(path))
    if smeared or picture.format in LOSSY:
        raise UserError(
            f"the mask {path} is compressed with loss ({picture.format}), which smears ids; "
            "expected an indexed or grey PNG"
        )
    return picture


def _is_lossless_webp(path: str | os.PathLike[str]) -> bool:
    """Whether the picture in a WebP file is a chunk of the lossless kind."""
    with open(path, "rb") as file:
        head = file.read(12)
        size = int.from_bytes(head[4:8], "little")
        while file.tell() < size:
            name, length = file.read(4), int.from_bytes(file.read(4), "little")
            if name in (b"VP8L", b"VP8 "):
                return name == b"VP8L"
            file.seek(length + length % 2, os.SEEK_CUR)
    return False


def _numbers(picture: Picture, where: str) -> Values:
    """Indices or grey values H W as they are stored, uint8 or int32."""
    image = picture.image
    if image.mode in ("1", "L", "P"):
        values = np.array(image, np.uint8)
        return values // np.uint8(GREYS[picture.packing]) if picture.packing in GREYS else values
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        if values.size and not 0 <= values.min() <= values.max() <= LARGEST_ID:
            raise UserError(f"{where} holds values from {values.min()} to {values.max()}; expected 0 to {LARGEST_ID}")
        return values.astype(np.int32)
    kind = {"F": "holds floating-point values", "RGB": "is a picture in colours"}.get(
        image.mode, f"is a picture of mode {image.mode}"
    )
    raise UserError(f"{where} {kind}; expected an indexed or grey PNG of ids")


def _indexed(image: Image.Image, where: str, single: bool) -> Objects:
    """Indices, if neither their colours nor their transparency say something else."""
    values = np.asarray(image)
    used = np.flatnonzero(np.bincount(values.reshape(-1)))
    palette = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colours = np.zeros((256, 3), np.uint8)  # a palette may be shorter than the indices go
    colours[: len(palette)] = palette
    hidden = np.intersect1d(used[used > 0], _transparent(image.info.get("transparency", b"")))
    if hidden.size:
        raise UserError(
            f"{where} is transparent at index {hidden[0]}, and index 0 alone is background; store the background as 0"
        )
    ramp = palette[:NAMED]
    if (ramp == np.arange(len(ramp))[:, None]).all():
        return grey_objects(values, where, single=single)
    _refuse_permuted(used, colours[used], where)
    return indexed_objects(values, where)


def _transparent(said: int | bytes) -> list[int]:
    """The indices that are wholly transparent: PNG files say which one, or the alpha of each."""
    return [said] if isinstance(said, int) else [index for index, alpha in enumerate(said) if alpha == 0]


def _refuse_permuted(used: NDArray[Any], colours: NDArray[np.uint8], where: str) -> None:
    """Programs that sort a palette leave indices that are no ids; black that is not 0 gives them away."""
    black = used[(colours == 0).all(1)]
    if 0 < len(black) < len(used) and black[0] != 0:
        raise UserError(f"{where} has black at index {black[0]}, but index 0 is background; store the background as 0")
    ids = np.where((colours == colours[:, :1]).all(1), NO_ID, ids_of_colours(colours))
    coloured = ids != NO_ID
    if coloured.sum() > 1 and (ids != used)[coloured].any() and coloured[used > 0].all():
        wrong = int(np.argmax(coloured & (ids != used)))
        raise UserError(
            f"{where} has at index {used[wrong]} the DAVIS colour of object {ids[wrong]}: which is its id? "
            "Store each object's id as the index"
        )


def _refuse_deep_channels(picture: Picture, where: str) -> None:
    if "16" in picture.packing:
        raise UserError(f"{where} has several channels of 16 bits; expected an indexed or grey PNG of ids")
