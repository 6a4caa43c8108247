"""Boxes in text: MOT folders and CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.box_folders import write_csv, write_frames, write_mot
from univs.errors import UserError
from univs.formats.box_tables import read_csv, read_mot


def test_mot(tmp_path: Path) -> None:
    """Frames are counted from 1 in the file; objects are numbered as they appear."""
    write_mot(tmp_path)
    data = read_mot(tmp_path)
    first, second = data.recordings
    assert first.name == f"{tmp_path.name}/one" and len(first) == 4 and first.annotated == (0, 1, 2, 3)
    assert first.boxes_of(0) == {1: (5, 4, 25, 20)} and first.boxes_of(2) == {1: (15, 4, 35, 20)}
    assert first.boxes_of(1) == {1: (10, 4, 30, 20), 2: (30, 20, 42.5, 30)}
    assert first.boxes_of(3)[2] == (31, 20, 43.5, 30) and not first.complete
    assert [file.name for file in second.frames] == [f"{t:06d}.png" for t in range(1, 5)]
    assert [r.name for r in read_mot(tmp_path, exclude=["one"], complete=True).recordings] == [second.name]
    assert read_mot(tmp_path, complete=True).recordings[0].complete


def test_csv(tmp_path: Path) -> None:
    """Columns in any order; a frame without a line is not annotated."""
    write_csv(tmp_path)
    (cat,) = read_csv(tmp_path).recordings
    assert cat.annotated == (0, 2) and len(cat) == 3
    assert cat.boxes_of(0) == {1: (4, 5, 34, 25)} and cat.boxes_of(2) == {1: (6, 5, 36, 25), 2: (8, 8, 24, 24)}


def test_a_line_of_mot_is_about_the_frame_of_its_number(tmp_path: Path) -> None:
    """Frames whose names are not padded: the twelfth is 12, not the one that the alphabet has there."""
    write_frames(tmp_path / "one" / "img1", [f"{t}.png" for t in range(1, 13)])
    (tmp_path / "one" / "gt").mkdir()
    (tmp_path / "one" / "gt" / "gt.txt").write_text("2,7,1,2,10,10\n12,7,3,4,10,10\n")
    (video,) = read_mot(tmp_path).recordings
    assert [video.frames[place].name for place in video.annotated] == ["2.png", "12.png"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,7,4,4", "4 entries"),
        ("1,7,4,4,0,9", "no area"),
        ("x,7,4,4,5,9", "could not convert"),
        ("1.5,7,4,4,5,9", "no whole number"),
        ("5,7,4,4,5,9", "frame number 4"),
        ("0,7,4,4,5,9", "frame number -1"),
        ("1,7,4,4,nan,9", "no finite number"),
        ("inf,7,4,4,5,9", "'inf' is no whole number"),
        ("1,1e400,4,4,5,9", "'1e400' is no whole number"),
    ],
)
def test_lines_that_do_not_fit(tmp_path: Path, line: str, said: str) -> None:
    write_mot(tmp_path)
    (tmp_path / "one" / "gt" / "gt.txt").write_text(f"{line}\n")
    with pytest.raises(UserError, match=said) as error:
        read_mot(tmp_path)
    assert "one" in str(error.value) and "\n" not in str(error.value)


def test_csv_that_does_not_fit(tmp_path: Path) -> None:
    write_csv(tmp_path)
    path = tmp_path / "boxes.csv"
    for text, said in (
        ("video,frame,id,x,y,width\ncat,0,1,2,3,4\n", "no column height"),
        ("video,frame,id,x,y,width,height\ncat,0,1,2,3,4\n", "no height"),
        ("video,frame,id,x,y,width,height\ncat,9,1,2,3,4,5\n", "frame number 9"),
        ("video,frame,id,x,y,width,height\ndog,0,1,2,3,4,5\n", "dog"),
        ("video,frame,id,x,y,width,height\n../..,0,1,2,3,4,5\n", "leads out of"),
        ("video,frame,id,x,y,width,height\n", "no video left"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_csv(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="boxes.csv"):
        read_csv(tmp_path)
    with pytest.raises(UserError, match="no SEQUENCE/gt/gt.txt"):
        read_mot(tmp_path)
