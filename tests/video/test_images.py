from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs import UserError
from univs.video import open_video


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


def test_frames_of_another_size_are_refused_before_the_first_is_answered(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", ["0.png", "1.png"])
    Image.new("RGB", (14, 9)).save(tmp_path / "v" / "2.png")
    with pytest.raises(UserError, match=r"2\.png is 14x9 pixels, the first frame 0\.png is 13x9"):
        open_video(tmp_path / "v")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0, 0.1, 0.6, 0.95])
def test_a_cut_frame_is_named_before_the_first_is_answered(tmp_path: Path, suffix: str, share: float) -> None:
    write_frames(tmp_path / "v", ["0.png", "1.png"])
    last = tmp_path / "v" / f"2{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    Image.fromarray(noise).save(last)
    assert open_video(tmp_path / "v").num_frames == 3
    whole = last.read_bytes()
    last.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=rf"cannot read the picture .*2\{suffix}"):
        open_video(tmp_path / "v")


def test_links_to_nothing_are_named_and_folders_passed_over(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", ["0.png", "1.png"])
    (tmp_path / "v" / "3.png").mkdir()
    assert open_video(tmp_path / "v").num_frames == 2
    (tmp_path / "v" / "2.png").symlink_to("nothing")
    with pytest.raises(UserError, match=r"2\.png \(a link to nothing\) does not exist"):
        open_video(tmp_path / "v")


def test_masks_among_the_frames_are_not_taken_for_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", ["0.jpg", "1.jpg", "0.png"])
    with pytest.raises(UserError, match=r"0\.jpg and 0\.png have one name: which .* the frame\?.* such as .*\*\.jpg"):
        open_video(tmp_path / "v")
    assert open_video(str(tmp_path / "v" / "*.jpg")).num_frames == 2


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


@pytest.mark.parametrize("name", ["moving.webp", "moving.png", "pages.tif"])
def test_several_pictures_in_a_file_are_a_video(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (13, 9), (value, 0, 0)) for value in (0, 50, 100, 150)]
    options = {} if name.endswith("tif") else {"duration": 50}
    lossless = {"lossless": True} if name.endswith("webp") else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options, **lossless)
    for source in (tmp_path / name, tmp_path):
        reader = open_video(source)
        assert (reader.size, reader.num_frames, reader.fps) == ((9, 13), 4, 20 if options else 25)
        assert [int(frame[0, 0, 0]) for frame in reader] == [0, 50, 100, 150]
        assert len(list(reader)) == 4  # can be read again


def test_what_an_animated_png_shows_instead_of_itself_is_no_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (13, 9), (value, 0, 0)) for value in (0, 50, 100)]
    frames[0].save(tmp_path / "0.png", save_all=True, append_images=frames[1:], default_image=True)
    assert [int(frame[0, 0, 0]) for frame in open_video(tmp_path / "0.png")] == [50, 100]


def test_animation_cut_short_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3)).astype(np.uint8)
    frames = [Image.fromarray(frame) for frame in noise]
    frames[0].save(tmp_path / "m.tif", save_all=True, append_images=frames[1:])
    whole = (tmp_path / "m.tif").read_bytes()
    (tmp_path / "m.tif").write_bytes(whole[: 2 * len(whole) // 3])
    with pytest.raises(UserError, match=r"cannot read the picture .*m\.tif"):
        list(open_video(tmp_path / "m.tif"))
