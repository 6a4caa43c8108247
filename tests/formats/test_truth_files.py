"""Ground truth of part of a split: that of the videos that were answered and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluation.run.oracle import export
from univs.formats import burst, coco_panoptic, read_set, ytvis
from univs.formats.truth_files import Truth, link


@pytest.mark.parametrize(
    ("name", "make", "rows", "of"),
    [
        ("ytvis19", ytvis.truth, "annotations", "video_id"),
        ("coco_panoptic", coco_panoptic.truth, "annotations", "image_id"),
        ("burst", burst.truth, "sequences", "seq_name"),
    ],
)
def test_rows_of_the_videos_that_were_answered(name: str, make: Truth, rows: str, of: str, tmp_path: Path) -> None:
    data = read_set(name, export(name, tmp_path / "data", videos=3))
    chosen = [data.recordings[1]]
    path = make(data, chosen, tmp_path / "truth")
    assert path is not None and path != data.file
    content, whole = json.loads(path.read_text()), json.loads(data.file.read_text())
    wanted = {chosen[0].key if chosen[0].key is not None else chosen[0].name.rpartition("/")[2]}
    assert {row[of] for row in content[rows]} == wanted < {row[of] for row in whole[rows]}
    assert content[rows] == [row for row in whole[rows] if row[of] in wanted]
    if "videos" in whole:
        assert [row["id"] for row in content["videos"]] == [chosen[0].key]


@pytest.mark.parametrize(("name", "make"), [("ytvis19", ytvis.truth), ("burst", burst.truth)])
def test_the_file_itself_where_all_were_answered(name: str, make: Truth, tmp_path: Path) -> None:
    data = read_set(name, export(name, tmp_path / "data"))
    assert make(data, list(data.recordings), tmp_path / "truth") == data.file


def test_copies_where_links_are_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path, target_is_directory: bool = False) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_text("a")
    link(tmp_path / "linked" / "set", tmp_path / "set")
    assert (tmp_path / "linked" / "set").is_symlink()
    with pytest.raises(FileExistsError):
        link(tmp_path / "linked" / "set", tmp_path / "set")
    monkeypatch.setattr(Path, "symlink_to", refuse)
    link(tmp_path / "copied" / "set", tmp_path / "set")
    link(tmp_path / "copied" / "a.txt", tmp_path / "set" / "a.txt")
    for path in (tmp_path / "copied" / "set" / "a.txt", tmp_path / "copied" / "a.txt"):
        assert path.read_text() == "a" and not path.is_symlink()
