from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs import UserError
from univs.video import open_video, read_label_png, write_indexed_png
from univs.visualization import davis_palette


def write_frames(folder: Path, names: list[str], size: tuple[int, int] = (13, 9)) -> None:
    folder.mkdir(exist_ok=True)
    for value, name in enumerate(names):
        Image.new("RGB", size, (value * 10, 0, 0)).save(folder / name)


def test_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", ["1.png", "2.png", "10.png", "20.png"])
    (tmp_path / "v" / "notes.txt").write_text("not a frame")
    (tmp_path / "v" / ".5.png").write_bytes(b"hidden")
    reader = open_video(tmp_path / "v")
    assert (reader.size, reader.num_frames) == ((9, 13), 4)
    assert [int(frame[0, 0, 0]) for frame in reader] == [0, 10, 20, 30]
    assert all(frame.shape == (9, 13, 3) and frame.dtype == np.uint8 and frame.flags.writeable for frame in reader)


def test_glob_chooses_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", ["a1.png", "b7.png", "a12.png", "a2.png"])
    assert [int(frame[0, 0, 0]) for frame in open_video(str(tmp_path / "v" / "a*.png"))] == [0, 30, 20]
    with pytest.raises(UserError, match="matches nothing"):
        open_video(str(tmp_path / "v" / "c*.png"))


def test_frames_of_another_size_are_refused_where_they_come(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", ["0.png", "1.png"])
    Image.new("RGB", (14, 9)).save(tmp_path / "v" / "2.png")
    frames = iter(open_video(tmp_path / "v"))
    assert len([next(frames), next(frames)]) == 2
    with pytest.raises(UserError, match=r"frame 2 of .* is 14x9 pixels, the first is 13x9"):
        next(frames)


def test_broken_frame_is_named(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", ["0.png", "1.png"])
    whole = (tmp_path / "v" / "0.png").read_bytes()
    (tmp_path / "v" / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot read the frame .*2\.png"):
        list(open_video(tmp_path / "v"))


def test_folder_without_frames(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no frames"):
        open_video(tmp_path)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (12, 8))
    image.paste((255, 255, 255), (0, 0, 6, 4))  # bright top left
    exif = image.getexif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image.save(tmp_path / "0.png", exif=exif)
    frame = next(iter(open_video(tmp_path)))
    assert frame.shape == (12, 8, 3)
    assert frame[2, 6, 0] == 255 and frame[2, 1, 0] == 0 and frame[10, 6, 0] == 0  # bright top right


def test_indexed_png_holds_ids_and_the_davis_palette(tmp_path: Path) -> None:
    labels = np.zeros((6, 7), np.int32)
    labels[0, :5] = (1, 2, 254, 255, 300)
    write_indexed_png(tmp_path / "m.png", labels, davis_palette())
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        assert np.asarray(image)[0, :5].tolist() == [1, 2, 254, 0, 0]  # ids above 254 are only in results.json
        assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]  # type: ignore[index]
    assert read_label_png(tmp_path / "m.png")[0, :3].tolist() == [1, 2, 254]
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


@pytest.mark.parametrize(
    ("mode", "pixels", "expected"),
    [
        ("L", [0, 255, 130, 90], [0, 1, 1, 0]),
        ("L", [0, 1, 1, 0], [0, 1, 1, 0]),
        ("L", [0, 1, 2, 3], [0, 1, 2, 3]),
        ("P", [0, 1, 200, 255], [0, 1, 200, 255]),
    ],
)
def test_masks_may_be_indexed_binary_or_grey(tmp_path: Path, mode: str, pixels: list[int], expected: list[int]) -> None:
    image = Image.fromarray(np.array([pixels], np.uint8), mode="L")
    if mode == "P":
        image = Image.fromarray(np.array([pixels], np.uint8), mode="P")
        image.putpalette(davis_palette())
    image.save(tmp_path / "m.png")
    assert read_label_png(tmp_path / "m.png")[0].tolist() == expected


def test_bilevel_and_colour_masks(tmp_path: Path) -> None:
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bits.png")
    Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)).save(tmp_path / "rgb.png")
    assert read_label_png(tmp_path / "bits.png").tolist() == [[0, 1]]
    assert read_label_png(tmp_path / "rgb.png").tolist() == [[0, 1]]
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match="expected an indexed or binary PNG"):
        read_label_png(tmp_path / "text.png")
