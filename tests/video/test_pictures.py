"""Pictures of every depth, colour model and orientation: what they are read as, and which are refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from univs import UserError
from univs.video.pictures import check_picture, picture_sizes, read_rgb

HEIGHT, WIDTH = 20, 30
DEEP = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 4)).astype(np.uint16)
GREY = np.repeat(np.arange(0, 240, 8, dtype=np.uint8)[None], HEIGHT, 0)
COLOURS = np.dstack([GREY, GREY[:, ::-1], np.full_like(GREY, 40)])


def write_deep_png(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits with one to four channels, which Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def write_planar_tiff(path: Path) -> None:
    """A TIFF of 16 bits whose channels lie one after the other."""
    bits, places = 8 + 2 + 9 * 12 + 4, []
    head = bits + 6 + 24
    for channel in range(3):
        places.append(head + channel * HEIGHT * WIDTH * 2)
    size = HEIGHT * WIDTH * 2
    fields = [(256, 3, 1, WIDTH), (257, 3, 1, HEIGHT), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2)]
    fields += [(273, 4, 3, bits + 6), (277, 3, 1, 3), (279, 4, 3, bits + 18), (284, 3, 1, 2)]
    directory = b"".join(struct.pack("<HHII", *field) for field in fields)
    content = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + directory + struct.pack("<I", 0)
    content += struct.pack("<3H", 16, 16, 16) + struct.pack("<3I", *places) + struct.pack("<3I", size, size, size)
    path.write_bytes(content + np.moveaxis(DEEP[..., :3], -1, 0).astype("<u2").tobytes())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_lose_their_lower_byte(tmp_path: Path, channels: int) -> None:
    write_deep_png(tmp_path / "deep.png", DEEP[..., :channels])
    expected = (DEEP[..., :channels] >> 8).astype(np.uint8)
    expected = np.repeat(expected[..., :1], 3, 2) if channels < 3 else expected[..., :3]
    found = read_rgb(tmp_path / "deep.png")
    assert found.dtype == np.uint8 and found.flags.writeable and np.array_equal(found, expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff(tmp_path: Path, order: str) -> None:
    mode = "I;16" if order == "<" else "I;16B"
    deep = np.ascontiguousarray(DEEP[..., 0], dtype=f"{order}u2")
    Image.frombytes(mode, (WIDTH, HEIGHT), deep.tobytes()).save(tmp_path / "deep.tif")
    assert np.array_equal(read_rgb(tmp_path / "deep.tif")[..., 1], DEEP[..., 0] >> 8)


def test_what_pillow_would_misread_is_refused(tmp_path: Path) -> None:
    write_planar_tiff(tmp_path / "planar.tif")
    with Image.open(tmp_path / "planar.tif") as image:
        assert image.size == (WIDTH, HEIGHT) and image.mode == "RGB"
    Image.fromarray(GREY.astype(np.float32) / 255).save(tmp_path / "float.tif")
    Image.fromarray(GREY.astype(np.int32)).save(tmp_path / "int.tif")
    frames = [Image.fromarray(np.roll(COLOURS, place, 1)) for place in range(3)]
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    for name, words in (
        ("planar.tif", "16 bits in separate planes"),
        ("float.tif", "floating-point values; expected 8 or 16 bits"),
        ("int.tif", "32-bit or signed values"),
        ("pages.tif", "holds 3 pictures"),
        ("moving.webp", "holds 3 pictures"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            read_rgb(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_every_colour_model(tmp_path: Path) -> None:
    colours, grey = Image.fromarray(COLOURS), Image.fromarray(GREY)
    colours.save(tmp_path / "rgb.webp", lossless=True)
    colours.convert("CMYK").save(tmp_path / "cmyk.tif")
    colours.convert("RGBA").save(tmp_path / "rgba.png")
    palette = colours.quantize(128)
    palette.save(tmp_path / "p.png", transparency=bytes([0] * 60 + [255] * 68))
    colours.save(tmp_path / "rgb.bmp")
    for name in ("rgb.webp", "cmyk.tif", "rgba.png", "p.png", "rgb.bmp"):
        assert np.abs(read_rgb(tmp_path / name).astype(int) - COLOURS).mean() < 1, name
    Image.merge("LA", (grey, grey)).save(tmp_path / "la.png")
    assert np.array_equal(read_rgb(tmp_path / "la.png"), np.dstack([GREY] * 3))
    Image.fromarray(GREY > 100).save(tmp_path / "bits.png")
    assert np.array_equal(read_rgb(tmp_path / "bits.png")[..., 0], np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    """As Pillow's own function turns the stored pixels; in TIFF Pillow has turned them already when it gives them."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(COLOURS)
    path = tmp_path / f"0.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    stored.save(path, exif=exif, **options)
    stored.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(stored)).astype(int)
    found = read_rgb(path)
    assert found.shape == expected.shape and np.abs(found - expected).mean() < 2
    assert picture_sizes(path) == (expected.shape[:2], (HEIGHT, WIDTH))


def test_malformed_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(tmp_path / "0.jpg", exif=exif)
    data = (tmp_path / "0.jpg").read_bytes()
    place = data.index(b"Exif\0\0") + 6
    (tmp_path / "0.jpg").write_bytes(data[:place] + b"XXXX" + data[place + 4 :])
    assert read_rgb(tmp_path / "0.jpg").shape == (HEIGHT, WIDTH, 3)


def test_a_phones_second_picture_does_not_count(tmp_path: Path) -> None:
    first = Image.fromarray(COLOURS)
    first.save(tmp_path / "0.jpg", format="MPO", save_all=True, append_images=[first.resize((10, 8))])
    assert read_rgb(tmp_path / "0.jpg").shape == (HEIGHT, WIDTH, 3)


@pytest.mark.filterwarnings("error")
def test_no_more_pixels_than_pillow_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to twice its limit without a warning, beyond that in one line with the size."""
    Image.new("P", (WIDTH, HEIGHT)).save(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 2)
    assert read_rgb(tmp_path / "big.png").shape == (HEIGHT, WIDTH, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 2 - 1)
    with pytest.raises(UserError, match=r"big\.png is 30x20 pixels; no more than 598 are read"):
        read_rgb(tmp_path / "big.png")
    with pytest.raises(UserError, match="30x20 pixels"):
        picture_sizes(tmp_path / "big.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_cut_and_empty_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"0.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:20], b"", b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"cannot read the picture .*0\.{suffix}") as caught:
            read_rgb(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="does not exist"):
        read_rgb(tmp_path / "none.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_a_check_says_what_reading_would(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (41, 67, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(noise).save(path, exif=exif)
    whole = path.read_bytes()
    assert check_picture(path) == read_rgb(path).shape[:2]
    for content in (whole[: len(whole) // 2], whole[:-60], whole[:20], b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(UserError) as read:
            read_rgb(path)
        with pytest.raises(UserError) as checked:
            check_picture(path)
        assert str(path) in str(checked.value)
        if suffix != ".jpg":
            assert str(checked.value) == str(read.value)
