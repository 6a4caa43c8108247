"""Mask files of every kind, written by Pillow or byte by byte, and what they are read as."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

from univs import UserError
from univs.masks.mask_files import (
    is_mask,
    read_codes,
    read_marked,
    read_objects,
    read_values,
    write_labels,
    write_objects,
)
from univs.masks.palette import davis_palette

TWO = np.zeros((20, 30), np.uint8)
TWO[3:12, 4:12], TWO[5:15, 18:26] = 1, 2
ONE = (TWO == 1).astype(np.uint8)


def indexed(values: np.ndarray, palette: list[int] | None = None) -> Image.Image:
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette(davis_palette() if palette is None else palette)
    return image


def write_png(path: Path, values: np.ndarray, depth: int, kind: int) -> None:
    """A PNG of a bit depth and colour type that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in values]
    else:
        bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., -depth:].reshape(height, -1)
        lines = [np.packbits(row).tobytes() for row in bits]
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def saved(tmp_path: Path, image: Image.Image, name: str = "m.png", **options: object) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif"])
def test_indices_and_greys_in_every_format_that_keeps_them(tmp_path: Path, suffix: str) -> None:
    for image in (indexed(TWO), Image.fromarray(TWO)):
        found = read_objects(saved(tmp_path, image, f"m{suffix}"))
        assert np.array_equal(found.ids, TWO) and not found.void.any()
        assert np.array_equal(read_values(tmp_path / f"m{suffix}"), TWO)


def test_webp_is_taken_without_loss_and_jpeg_never(tmp_path: Path) -> None:
    white = Image.fromarray(ONE * 255)
    assert np.array_equal(read_objects(saved(tmp_path, white.convert("RGB"), "m.webp", lossless=True)).ids, ONE)
    alpha = Image.merge("LA", (white, white)).convert("RGBA")
    assert np.array_equal(read_objects(saved(tmp_path, alpha, "a.webp", lossless=True, exact=True)).ids, ONE)
    for name in ("lossy.webp", "m.jpg"):
        with pytest.raises(UserError, match="compressed with loss"):
            read_objects(saved(tmp_path, white.convert("RGB"), name))


def test_binary_masks_of_one_bit_and_of_a_palette_of_greys(tmp_path: Path) -> None:
    for image in (
        Image.fromarray(ONE.astype(bool)),
        Image.fromarray(ONE * 255),
        Image.fromarray(ONE * 255).convert("P"),
        indexed(ONE * 255),
        Image.fromarray(ONE.astype(np.uint16) * 65535),
    ):
        found = read_objects(saved(tmp_path, image))
        assert np.array_equal(found.ids, ONE) and not found.void.any(), image.mode


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_greys_of_few_bits(tmp_path: Path, depth: int) -> None:
    """Pillow multiplies their values; as numbers they are what is stored, and as objects only one is certain."""
    write_png(tmp_path / "one.png", ONE * (2**depth - 1), depth, 0)
    assert np.array_equal(read_objects(tmp_path / "one.png").ids, ONE)
    assert np.array_equal(read_values(tmp_path / "one.png"), ONE * (2**depth - 1))
    if depth > 1:
        write_png(tmp_path / "two.png", TWO, depth, 0)
        assert np.array_equal(read_values(tmp_path / "two.png"), TWO)
        with pytest.raises(UserError, match=f"grey of {depth} bits"):
            read_objects(tmp_path / "two.png")


def test_ids_above_254_come_back(tmp_path: Path) -> None:
    labels = np.zeros((6, 7), np.int32)
    labels[0, :5] = (1, 254, 255, 300, 65535)
    write_objects(tmp_path / "m.png", labels)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "I;16" and np.array_equal(np.asarray(image), labels)
    assert np.array_equal(read_objects(tmp_path / "m.png").ids, labels)
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]
    with pytest.raises(ValueError, match="0 to 65535"):
        write_objects(tmp_path / "m.png", labels + 1)


def test_the_id_255_is_no_void_and_one_object_is_one(tmp_path: Path) -> None:
    for ids in (np.array([0, 1, 510])[TWO], np.array([0, 1, 255])[TWO]):
        write_objects(tmp_path / "m.png", ids)
        found = read_objects(tmp_path / "m.png")
        assert np.array_equal(found.ids, ids) and not found.void.any()
        with pytest.raises(UserError, match="holds 2 objects"):
            read_objects(tmp_path / "m.png", single=True)


def test_an_opaque_alpha_channel_leaves_a_soft_mask_of_one_object_as_it_is(tmp_path: Path) -> None:
    edge = [*range(10, 150, 10), 150, 150, 150, *range(160, 255, 10)]  # with a step: a shadow, or a second object?
    soft = np.repeat(np.array([[*[0] * 20, *edge, *[255] * 20, *edge[::-1], 0]], np.uint8), 40, 0)
    grey, opaque = Image.fromarray(soft), Image.new("L", soft.shape[::-1], 255)
    plain = read_objects(saved(tmp_path, grey), single=True).ids
    assert np.array_equal(plain, soft > 127)
    for bands, mode in (((grey, opaque), "LA"), ((grey, grey, grey, opaque), "RGBA")):
        path = saved(tmp_path, Image.merge(mode, bands))
        assert np.array_equal(read_objects(path, single=True).ids, plain)
        with pytest.raises(UserError, match="smoothed edges"):
            read_objects(path)


def test_which_files_may_be_masks() -> None:
    names = {"a.png": True, "A.PNG": True, "a.b.tiff": True, ".a.png": False, "a.jpg": False, "png": False}
    assert {name: is_mask(Path(name)) for name in names} == names


def test_ids_to_254_are_indexed_in_the_colours_of_davis(tmp_path: Path) -> None:
    labels = np.zeros((6, 7), np.int32)
    labels[0, :3] = (1, 2, 254)
    write_objects(tmp_path / "m.png", labels)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P" and np.array_equal(np.asarray(image), labels)
        assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]  # type: ignore[index]
    write_labels(tmp_path / "void.png", np.where(labels == 254, 255, labels).astype(np.uint8))
    assert read_objects(tmp_path / "void.png").void.sum() == 1


def test_ids_of_16_bits_of_other_programs(tmp_path: Path) -> None:
    deep = TWO.astype(np.uint16) * 300
    assert np.array_equal(read_objects(saved(tmp_path, Image.fromarray(deep))).ids, deep)
    assert np.array_equal(read_objects(saved(tmp_path, Image.fromarray(deep.astype(np.int32)), "i.tif")).ids, deep)
    deep[0] = 65535
    with pytest.raises(UserError, match="65535 in 16 bits"):
        read_objects(saved(tmp_path, Image.fromarray(deep)))
    with pytest.raises(UserError, match="values from -5 to 0"):
        read_objects(saved(tmp_path, Image.fromarray(ONE.astype(np.int32) * -5), "i.tif"))


def test_floating_point_and_deep_channels_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(ONE.astype(np.float32)), "m.tif")
    for read in (read_objects, read_values, read_codes, read_marked):
        with pytest.raises(UserError, match=r"m\.tif .*(floating-point|no colours)") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    write_png(tmp_path / "la.png", np.dstack([TWO.astype(np.uint16)] * 2), 16, 4)
    with pytest.raises(UserError, match="several channels of 16 bits"):
        read_objects(tmp_path / "la.png")


def test_indices_that_are_none(tmp_path: Path) -> None:
    """Programs that sort palettes: white 0 and black 1; red 2 and green 1. The palette says that something is wrong."""
    with pytest.raises(UserError, match="black at index 1"):
        read_objects(saved(tmp_path, indexed(ONE, [255, 255, 255, 0, 0, 0])))
    sorted_palette = [255, 0, 0, 0, 255, 0, 0, 0, 0, 255, 255, 255]
    with pytest.raises(UserError, match="black at index 2, but index 0 is background"):
        read_objects(saved(tmp_path, indexed(ONE + 2, sorted_palette)))
    with pytest.raises(UserError, match="at index 1 the DAVIS colour of object 2"):
        read_objects(saved(tmp_path, indexed(TWO, [0, 0, 0, 0, 128, 0, 128, 0, 0])))
    own = [0, 0, 0, 250, 1, 7, 3, 128, 90]
    assert np.array_equal(read_objects(saved(tmp_path, indexed(TWO, own))).ids, TWO)


def test_transparent_indices(tmp_path: Path) -> None:
    assert np.array_equal(read_objects(saved(tmp_path, indexed(TWO), transparency=0)).ids, TWO)
    half = bytes([0, 128, 128])
    assert np.array_equal(read_objects(saved(tmp_path, indexed(TWO), transparency=half)).ids, TWO)
    with pytest.raises(UserError, match="transparent at index 2"):
        read_objects(saved(tmp_path, indexed(TWO), transparency=2))


def test_alpha_of_two_and_of_four_channels(tmp_path: Path) -> None:
    alpha = Image.fromarray(ONE * 255)
    for black in (Image.new("L", alpha.size), Image.new("RGB", alpha.size)):
        black.putalpha(alpha)
        assert np.array_equal(read_objects(saved(tmp_path, black)).ids, ONE)
    keyed = saved(tmp_path, Image.fromarray(ONE * 200), transparency=0)
    assert np.array_equal(read_objects(keyed).ids, ONE)


def test_orientation_counts_for_masks_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    path = saved(tmp_path, Image.fromarray(TWO), exif=exif)
    assert np.array_equal(read_objects(path).ids, np.rot90(TWO, -1))


def test_what_is_no_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("version https://git-lfs.github.com/spec/v1")
    whole = saved(tmp_path, indexed(TWO)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    pages = [Image.fromarray(ONE), Image.fromarray(ONE)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    for name, words in (
        ("text.png", "cannot read the mask"),
        ("cut.png", "cannot read the mask"),
        ("empty.png", "cannot read the mask"),
        ("missing.png", "does not exist"),
        ("pages.tif", "holds 2 pictures"),
    ):
        for read in (read_objects, read_values, read_codes, read_marked):
            with pytest.raises(UserError, match=words) as caught:
                read(tmp_path / name)
            assert name in str(caught.value) and "\n" not in str(caught.value)


def test_numbers_are_as_stored_whatever_they_mean(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    assert np.array_equal(read_values(saved(tmp_path, Image.fromarray(noise))), noise)
    assert read_values(saved(tmp_path, Image.fromarray(ONE.astype(bool)))).tolist() == ONE.tolist()
    deep = read_values(saved(tmp_path, Image.fromarray(noise.astype(np.uint16) * 257)))
    assert deep.dtype == np.int32 and np.array_equal(deep, noise.astype(int) * 257)
    with pytest.raises(UserError, match="in colours; expected an indexed or grey PNG"):
        read_values(saved(tmp_path, Image.fromarray(np.dstack([noise] * 3))))


def test_codes_are_red_and_256_green_and_65536_blue(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    expected = numbers[..., 0] + 256 * numbers[..., 1].astype(int) + 65536 * numbers[..., 2].astype(int)
    path = saved(tmp_path, Image.fromarray(numbers))
    assert np.array_equal(read_codes(path), expected) and read_codes(path).dtype == np.uint32
    with pytest.raises(UserError, match="no colours"):
        read_codes(saved(tmp_path, Image.fromarray(TWO)))


def test_whatever_is_marked_is_the_object(tmp_path: Path) -> None:
    coloured = np.zeros((20, 30, 3), np.uint8)
    coloured[TWO > 0] = (3, 0, 0)
    alpha = Image.new("L", (30, 20))
    alpha.putalpha(Image.fromarray((TWO > 0).astype(np.uint8) * 255))
    for image in (indexed(TWO), Image.fromarray(TWO * 127), Image.fromarray(coloured), alpha):
        assert np.array_equal(read_marked(saved(tmp_path, image)), TWO > 0), image.mode


def test_a_title_alone_makes_no_ids(tmp_path: Path) -> None:
    title = PngInfo()
    title.add_text("Title", "a mask")
    deep = TWO.astype(np.uint16)
    deep[0] = 65535
    with pytest.raises(UserError, match="65535 in 16 bits"):
        read_objects(saved(tmp_path, Image.fromarray(deep), pnginfo=title))


def test_indices_of_dithered_colours_are_refused(tmp_path: Path) -> None:
    colours = np.asarray(indexed(TWO).convert("RGB")).repeat(4, 0).repeat(4, 1)
    dithered = Image.fromarray(colours).convert("P")  # to web colours, as Pillow does it unless told otherwise
    assert len(np.unique(np.asarray(dithered))) > 3
    with pytest.raises(UserError, match="it looks dithered"):
        read_objects(saved(tmp_path, dithered))


def test_colours_of_ids_with_soft_alpha_keep_their_edges(tmp_path: Path) -> None:
    ids = TWO.repeat(4, 0).repeat(4, 1)
    alpha = Image.fromarray((ids > 0).astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))
    assert len(np.unique(np.asarray(alpha))) > 2
    soft = indexed(ids).convert("RGB")
    soft.putalpha(alpha)
    inside = np.asarray(alpha) > 127
    assert np.array_equal(read_objects(saved(tmp_path, soft)).ids, np.where(inside, ids, 0))
    faded = np.where(inside & (np.asarray(alpha) < 255), 77, np.asarray(indexed(ids).convert("RGB")).transpose(2, 0, 1))
    blended = Image.fromarray(faded.transpose(1, 2, 0).astype(np.uint8))
    blended.putalpha(alpha)
    with pytest.raises(UserError, match="2 ids as colours that run into each other"):
        read_objects(saved(tmp_path, blended))


@pytest.mark.parametrize(("name", "options"), [("m.jp2", {}), ("m.tif", {"compression": "jpeg"}), ("m.avif", {})])
def test_formats_that_may_lose_values_are_refused(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    try:
        path = saved(tmp_path, Image.fromarray(ONE * 255), name, **options)
    except (KeyError, OSError, ValueError):
        pytest.skip(f"this Pillow writes no {name}")
    with pytest.raises(UserError, match="compressed with loss"):
        read_objects(path)
