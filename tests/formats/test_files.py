"""Frames in their order, and what folders and things are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.formats.box_folders import write_coco, write_csv, write_mot
from univs.formats import box_tables, coco_boxes, davis, image_folder, photo_masks
from univs.formats.files import distinct_names, folder_name, list_frames
from univs.video.images import ImageReader


def test_frames_come_in_the_order_in_which_a_video_is_read(tmp_path: Path) -> None:
    for number in (10, 1, 12, 2, 9):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"f{number}.png")
    frames = list_frames(tmp_path, "frames")
    assert [path.name for path in frames] == ["f1.png", "f2.png", "f9.png", "f10.png", "f12.png"]
    assert [frame[0, 0, 0] for frame in ImageReader(frames[::-1], "frames")] == [1, 2, 9, 10, 12]


@pytest.mark.parametrize(
    "names",
    [
        [f"{number:05d}.jpg" for number in range(0, 120, 7)],
        ["0001TP_006690.png", "0001TP_010380.png", "0006R0_f00930.png", "0016E5_00390.png", "Seq05VD_f00000.png"],
    ],
)
def test_padded_names_come_in_the_order_of_their_letters(names: list[str], tmp_path: Path) -> None:
    for name in reversed(names):
        (tmp_path / name).touch()
    assert [path.name for path in list_frames(tmp_path, "frames")] == sorted(names)


def test_equal_names_alone_are_made_longer() -> None:
    assert distinct_names(["a", "b", "a"], ["x/a", "x/b", "y/a"]) == ["x/a", "b", "y/a"]


@pytest.fixture
def folders(tmp_path: Path, video_folder: Path, photo_folder: Path, coco_folder: Path) -> dict[str, Path]:
    """A folder of one's own of each kind."""
    for kind, write in (("mot", write_mot), ("csv", write_csv), ("boxes", write_coco)):
        write(tmp_path / kind)
    return {
        "videos": video_folder,
        "photos": photo_folder,
        "coco": coco_folder,
        **{kind: tmp_path / kind for kind in ("mot", "csv", "boxes")},
    }


READERS: dict[str, Callable[..., Any]] = {
    "videos": davis.read_folder,
    "photos": photo_masks.read_folder,
    "coco": image_folder.read_folder,
    "mot": box_tables.read_mot,
    "csv": box_tables.read_csv,
    "boxes": coco_boxes.read_folder,
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(("start", "given"), [(".", "."), ("below", ".."), ("below", "../below/..")])
def test_a_folder_given_by_dots_has_its_name(
    kind: str, start: str, given: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = folders[kind], READERS[kind]
    (folder / "below").mkdir()
    names = [recording.name for recording in read(folder).recordings]
    monkeypatch.chdir(folder / start)
    found = read(Path(given))
    assert found.name == folder.name and [recording.name for recording in found.recordings] == names
    if len(names) > 1:
        left = read(Path(given), exclude=names[:1])
        assert [recording.name for recording in left.recordings] == names[1:]


def test_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert folder_name(tmp_path / "link") == "link"
