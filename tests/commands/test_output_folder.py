from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from univs import demo
from univs.claim import MARK, claim_folder
from univs.commands.earlier_results import refuse_own_input, refuse_own_masks
from univs.commands.output_folder import OutputFolder
from univs.commands.sheet_frames import SheetFrames
from univs.demo import run_demo
from univs.errors import UserError
from univs.results import FrameResult, TrackSpool
from univs.video import VideoWriter

LABELS = np.zeros((8, 12), np.uint8)
FRAME = np.zeros((8, 12, 3), np.uint8)


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [
        (0, 1, [0]),
        (0, 12, list(range(12))),
        (0, 13, [0, 2, 4, 6, 8, 10, 12]),
        (40, 92, [*range(40, 131, 8), 131][:11] + [131]),
        (3, 1000, [3, 131, 259, 387, 515, 643, 771, 899, 1002]),
    ],
)
def test_sheet_keeps_even_steps_and_the_last_frame(first: int, count: int, expected: list[int]) -> None:
    sheet = SheetFrames()
    drawn: list[int] = []

    def draw(index: int) -> np.ndarray:
        drawn.append(index)
        return FRAME

    for index in range(first, first + count):
        sheet.add(index, lambda index=index: draw(index))
    assert list(sheet.pictures()) == expected
    assert len(drawn) <= 12 * 8  # far fewer than the frames of a long video


def test_after_a_bug_nothing_half_done_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), OutputFolder(tmp_path / "out", 25, "") as output:
        output.add(FRAME, FrameResult(0, LABELS, (1,)))
        raise RuntimeError
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["masks"]
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["00000.png"]


def run(folder: Path, count: int = 1, **options: Any) -> None:
    expressions = {1: LABELS == 0, 2: LABELS == 1}
    with OutputFolder(folder, 25, "", **options) as output:
        for index in range(count):
            names = {1: "red car", 2: "dog"}
            output.add(FRAME, FrameResult(index, LABELS, (1, 2), separate=expressions, names=names))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["masks", "semantic", "panoptic", "expressions"])
@pytest.mark.parametrize("earlier", ["masks", "semantic", "panoptic", "expressions"])
def test_the_folder_holds_the_last_run_alone(tmp_path: Path, earlier: str, kind: str) -> None:
    run(tmp_path / "both", 3, kind=earlier)
    run(tmp_path / "both", 1, kind=kind, with_overlay=False)
    run(tmp_path / "alone", 1, kind=kind, with_overlay=False)
    assert files(tmp_path / "both") == files(tmp_path / "alone")


def test_what_a_killed_run_left_goes_and_files_of_others_stay(tmp_path: Path) -> None:
    run(tmp_path, 2, kind="expressions")
    (tmp_path / "results.json").unlink()
    others = [
        "notes.txt",
        "masks/mine.png",
        "masks/1/0.png",
        "masks/000.png",
        "overlay.mp4.old",
        "masks/12/a/00000.png",
    ]
    for name in (*others, ".overlay.123.tmp.mp4", "masks/.00001.123.tmp.png", "panoptic/annotations.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    run(tmp_path, 1, with_overlay=False, unfinished=True)
    assert files(tmp_path) == sorted([*others, "masks/00000.png", "results.json", "contact_sheet.png"])


def test_masks_of_another_origin_are_not_deleted_but_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("masks/00004.png", "masks/00005.png", "overlay.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    run(tmp_path, 1, with_overlay=False, frames=1)
    assert "masks/00005.png" in files(tmp_path) and "overlay.mp4" in files(tmp_path)
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "masks (2 files)" in line and "overlay.mp4" in line


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("results.json", {}),
        ("contact_sheet.png", {}),
        ("overlay.mp4", {}),
        ("masks/00000.png", {"frames": 2}),
        ("masks/00001.png", {"frames": 2}),
        ("masks/00700.png", {}),
        ("masks/2/00001.png", {"frames": 2, "kind": "expressions"}),
        ("semantic/categories.json", {"kind": "semantic"}),
        ("panoptic/00000.png", {"kind": "panoptic"}),
        ("panoptic/annotations.part", {"kind": "panoptic"}),
    ],
)
@pytest.mark.parametrize("content", ["[]", "[1, 2]", '{"mine": 1}'])
def test_files_of_others_are_not_replaced(tmp_path: Path, name: str, options: dict[str, Any], content: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name} is not of an earlier run and would be replaced; name another --out"):
        run(tmp_path, 2, **options)
    assert files(tmp_path) == [name] and (tmp_path / name).read_text() == content


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("overlay.mp4", {"with_overlay": False}),
        ("masks/00002.png", {"frames": 2}),
        ("masks/000000.png", {}),
        ("masks/1/00000.png", {}),
        ("masks/.00000.9.tmp.png", {}),
        ("panoptic/00000.png", {}),
        ("masks/00000.png", {"kind": "panoptic"}),
    ],
)
def test_files_of_others_that_are_in_nobodys_way_stay(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_text("x")
    run(tmp_path, 2, **options)
    assert (tmp_path / name).read_text() == "x" and (tmp_path / "results.json").exists()


def test_a_run_that_found_nothing_is_known_again(tmp_path: Path) -> None:
    for count in (2, 1):
        with OutputFolder(tmp_path, 25, "", with_overlay=False) as output:
            for index in range(count):
                output.add(FRAME, FrameResult(index, LABELS, ()))
        assert files(tmp_path) == sorted(["results.json", *(f"masks/{index:05d}.png" for index in range(count))])


def interrupt(*given: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "name"), [(VideoWriter, "__exit__"), (TrackSpool, "write_json"), (TrackSpool, "append")]
)
def test_after_ctrl_c_before_the_results_are_there_the_same_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(kind, name, interrupt)
        with pytest.raises(KeyboardInterrupt), claim_folder(tmp_path):
            run(tmp_path, 2)
    assert "masks/00000.png" in files(tmp_path) and "results.json" not in files(tmp_path)
    with claim_folder(tmp_path) as claim:
        run(tmp_path, 1, unfinished=claim.unfinished)
    assert files(tmp_path) == ["contact_sheet.png", "masks/00000.png", "overlay.mp4", "results.json"]


def test_ctrl_c_before_the_first_frame_leaves_no_part(tmp_path: Path) -> None:
    """Files of others are not taken for those of an unfinished run."""
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "00700.png").write_text("x")
    with pytest.raises(KeyboardInterrupt), claim_folder(tmp_path), OutputFolder(tmp_path, 25, "", frames=2):
        raise KeyboardInterrupt
    assert files(tmp_path) == ["masks/00700.png"]


def test_a_demo_that_ctrl_c_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrackSpool, "append", interrupt)
        run_demo(tmp_path)
    assert files(tmp_path) == [MARK, "synth/masks/00000.png"]

    def load(name: str) -> None:
        raise UserError("nothing was refused")

    monkeypatch.setattr(demo, "load_univs", load)
    with pytest.raises(UserError, match="nothing was refused"):
        run_demo(tmp_path)


@pytest.mark.parametrize("name", ["synth/results.json", "rabbit/masks/00000.png", "contact_sheet.png"])
def test_a_demo_does_not_replace_files_of_others(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_text("[]")
    with pytest.raises(UserError, match=rf"{name} is not of an earlier run and would be replaced; name another --out"):
        run_demo(tmp_path)
    assert files(tmp_path) == [name]


def test_a_mask_that_would_be_removed_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "out", 2)
    (tmp_path / "out" / "masks" / "mine.png").write_text("x")
    (tmp_path / "link.png").symlink_to(tmp_path / "out" / "masks" / "00001.png")
    for source in ("out/masks/00001.png", "out/../out/masks/00001.png", "link.png"):
        with pytest.raises(UserError, match=rf"{source} lies in the output folder .* would be removed; name another"):
            refuse_own_masks([str(tmp_path / source)], tmp_path / "out")
    refuse_own_masks([str(tmp_path / "out" / "masks" / name) for name in ("mine.png", "00004.png")], tmp_path / "out")
    refuse_own_masks([str(tmp_path / "link.png")], tmp_path / "other")


@pytest.mark.parametrize("name", ["overlay.mp4", "contact_sheet.png", "results.json", "masks", "semantic", "panoptic"])
def test_what_is_in_the_way_is_found_before_the_first_frame(tmp_path: Path, name: str) -> None:
    obstacle = tmp_path / name
    if obstacle.suffix:
        obstacle.mkdir()
    else:
        obstacle.write_text("")
    with pytest.raises(UserError, match=rf"{name} is a f.*, and a run .* name another --out"):
        OutputFolder(tmp_path, 25, "")
    with pytest.raises(UserError, match=rf"{name} is a f"):
        run_demo(tmp_path)
    demo = tmp_path.with_name(f"{tmp_path.name}_demo")
    for part in ("synth", "rabbit"):
        (demo / part).mkdir(parents=True)
        obstacle = obstacle.rename(demo / part / name)
        with pytest.raises(UserError, match=rf"{part}/{name} is a f"):
            run_demo(demo)


def test_before_the_first_frame_the_earlier_run_stays_whole(tmp_path: Path) -> None:
    run(tmp_path, 2)
    before = files(tmp_path)
    with pytest.raises(UserError), OutputFolder(tmp_path, 25, ""):
        raise UserError("the first frame cannot be read")
    assert files(tmp_path) == before


@pytest.mark.parametrize("source", ["masks", "masks/*.png", "overlay.mp4", "masks/1", "../out/masks"])
def test_a_video_that_would_be_replaced_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(UserError, match="would be replaced"):
        refuse_own_input(str(tmp_path / "out" / source), tmp_path / "out")
    refuse_own_input(str(tmp_path / "out" / "frames"), tmp_path / "out")
    refuse_own_input(str(tmp_path / "out" / "video.mp4"), tmp_path / "out")


@pytest.mark.parametrize(
    ("lies", "source", "message"),
    [
        ("out/masks/00000.png", "o*/masks/*.png", "would be replaced"),
        ("out/overlay.mp4", "o*/overlay.mp4", "would be replaced"),
        ("out/masks/1/00000.png", "**/*.png", "would be replaced"),
        ("out/shot1.png", "o*/shot*.png", "is that of the frames"),
    ],
)
def test_what_a_glob_finds_in_the_output_folder_is_refused(
    tmp_path: Path, lies: str, source: str, message: str
) -> None:
    (tmp_path / lies).parent.mkdir(parents=True)
    (tmp_path / lies).write_bytes(b"")
    with pytest.raises(UserError, match=message):
        refuse_own_input(str(tmp_path / source), tmp_path / "out")
    refuse_own_input(str(tmp_path / source), tmp_path / "other")


@pytest.mark.parametrize(("source", "out"), [("v", "v"), ("v/*.png", "v"), ("v", "w/../v"), ("v/", "link")])
def test_results_do_not_come_among_the_frames(tmp_path: Path, source: str, out: str) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "v")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match="is that of the frames; name another --out"):
        refuse_own_input(f"{tmp_path}/{source}", tmp_path / out)
    refuse_own_input(f"{tmp_path}/{source}", tmp_path / "loop")
