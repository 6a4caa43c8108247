from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.commands.prompt_arguments import (
    check_prompts,
    choose_task,
    count_for_prompts,
    read_categories,
    read_prompts,
)
from univs.errors import UserError
from univs.masks.mask_files import write_objects
from univs.prompts import Box, Categories, Mask, Points, Text
from univs.video.reader import ArrayReader


def test_prompts_of_a_command_line() -> None:
    points = ["2@5:1,2", "1@5:9,9:+", "2@5:3,4.5:-", "2:0,0"]
    schedule = read_prompts([], ["1@5:1,2,3,4", "3:0,0,1,1"], points, [])
    assert schedule == {
        5: [Box(1, (1, 2, 3, 4)), Points(2, [(1, 2), (3, 4.5)], [True, False]), Points(1, [(9, 9)])],
        0: [Box(3, (0, 0, 1, 1)), Points(2, [(0, 0)])],
    }


def test_mask_argument_may_name_a_file_with_an_at_sign(tmp_path: Path) -> None:
    labels = np.zeros((4, 5), np.uint8)
    labels[1, 1] = 1
    Image.fromarray(labels).save(tmp_path / "a.png")
    (tmp_path / "a.png@3").write_bytes((tmp_path / "a.png").read_bytes())
    assert list(read_prompts([f"{tmp_path / 'a.png'}@4"], [], [], [])) == [4]
    assert list(read_prompts([f"{tmp_path / 'a.png@3'}"], [], [], [])) == [0]


def test_masks_of_a_file_are_those_of_read_objects(tmp_path: Path) -> None:
    """Ids, void and names of files; that a file is refused where it may be two things is in tests/masks."""
    labels = np.zeros((6, 8), np.uint16)
    labels[1:3, 1:4], labels[4, 2:6] = 300, 255
    write_objects(tmp_path / "deep.png", labels)
    Image.fromarray(np.where(labels == 300, 1, labels).astype(np.uint8)).save(tmp_path / "grey.png")
    deep = read_prompts([str(tmp_path / "deep.png")], [], [], [])[0]
    assert [(p.object_id, int(p.mask.sum())) for p in deep if isinstance(p, Mask)] == [(255, 4), (300, 6)]
    (grey,) = read_prompts([str(tmp_path / "grey.png")], [], [], [])[0]
    assert isinstance(grey, Mask) and (grey.object_id, int(grey.mask.sum())) == (1, 6)
    with pytest.raises(UserError, match=r"the mask .*grey\.png is 8x6 pixels, the frame is 9x6"):
        check_prompts({0: [grey]}, (6, 9), None)


@pytest.mark.parametrize("number", ["65536", "9" * 20, "9" * 200])
def test_ids_that_no_file_holds_are_refused(number: str) -> None:
    for arguments in ({"boxes": [f"{number}@0:1,2,3,4"]}, {"points": [f"{number}@0:1,2"]}):
        with pytest.raises(UserError, match="ids are whole numbers from 1 to 65535|is not of the form"):
            read_prompts(**{"masks": [], "boxes": [], "points": [], "scribbles": [], **arguments})


@pytest.mark.parametrize("object_id", ['"1"', "1.5", "true", "[1]", "null", "-1", "65536", "1e999"])
def test_ids_of_scribbles_are_whole_numbers(tmp_path: Path, object_id: str) -> None:
    (tmp_path / "s.json").write_text('{"scribbles": [[{"path": [[0.1, 0.2]], "object_id": ' + object_id + "}]]}")
    with pytest.raises(UserError, match="whole number") as caught:
        read_prompts([], [], [], [str(tmp_path / "s.json")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"described": True}, "refvos"),
        ({"shown": True}, "vos"),
        ({}, "vis"),
        ({"described": True, "shown": True}, "refvos"),
        ({"shown": True, "named": True}, "pvos"),
    ],
)
def test_the_task_follows_from_what_is_given(given: dict[str, bool], meant: str) -> None:
    assert choose_task(None, **{"shown": False, "described": False, "named": False, **given}) == meant
    assert choose_task("pvos", **{"shown": False, "described": False, "named": False, **given}) == "pvos"


def test_names_are_said_where_the_object_is_shown_first() -> None:
    schedule = read_prompts([], ["2@5:0,0,3,4", "2@3:0,0,3,4", "1@3:0,0,3,4"], [], [], [], ["2:sky"])
    assert schedule[3][-1] == Text("sky", 2) and len(schedule[3]) == 3 and len(schedule[5]) == 1


def test_expressions_and_categories() -> None:
    assert read_prompts([], [], [], [], ["a red car", "the dog"]) == {0: [Text("a red car", 1), Text("the dog", 2)]}
    assert read_categories("dog, red car") == Categories(("dog", "red car"))
    vipseg = read_categories("vipseg")
    assert vipseg is not None and len(vipseg.names) == 124 and vipseg.things is not None and 2 in vipseg.things
    assert read_categories(None) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"boxes": ["1:0,0,3,4"], "names": ["1:sky", "1:tree"]}, "--name '1:tree': object 1 has another name"),
        ({"boxes": ["1:0,0,3,4"], "names": ["1:sky", "1:sky"]}, "--name '1:sky': object 1 has another name"),
        ({"boxes": ["1@2:0,0,3,4", "1@2:1,1,2,2"]}, "object 1 has another box on frame 2"),
        ({"boxes": ["1:0,0,3,4", "1@0:0,0,3,4"]}, "object 1 has another box on frame 0"),
        ({"texts": ["the dog", "a cat", " the  dog"]}, "--text 'the dog' is given twice"),
        ({"points": ["1:3,4", "1:9,9", "1@0:3.0,4:-"]}, "--point 1@0:3,4 is given with + and with -"),
        ({"texts": ["\udcff\udcfe cat"]}, "holds bytes that are not text in UTF-8"),
    ],
)
def test_what_is_said_twice_is_refused(arguments: dict[str, list[str]], words: str) -> None:
    nothing: dict[str, list[str]] = {name: [] for name in ("masks", "boxes", "points", "scribbles")}
    with pytest.raises(UserError) as error:
        read_prompts(**{**nothing, **arguments})
    assert words in str(error.value)
    read_prompts([], ["1@2:0,0,3,4", "1@3:0,0,3,4", "2@2:0,0,3,4"], ["1:3,4", "1:3,4", "2:3,4:-"], [])


def test_words_that_python_took_for_another_encoding() -> None:
    taken = "le père".encode().decode("ascii", "surrogateescape")  # as in a locale that knows ASCII alone
    assert read_prompts([], [], [], [], [taken])[0] == [Text("le père", 1)]
    categories = read_categories(f"{taken}, dog")
    assert categories is not None and categories.names == ("le père", "dog")
    with pytest.raises(UserError, match="not a character"):
        Text(taken, 1)


@pytest.mark.parametrize(
    ("header", "last", "count"), [(3, 2, None), (3, 3, 4), (3, 9, 5), (9, 8, None), (None, 0, None), (None, 5, 5)]
)
def test_frames_are_counted_where_a_prompt_lies_past_the_header(
    header: int | None, last: int, count: int | None
) -> None:
    reader = ArrayReader([np.zeros((4, 4, 3), np.uint8)] * 5)
    assert count_for_prompts({0: [], 99: []}, reader) == 5
    reader.announced, reader.num_frames = True, header
    assert count_for_prompts({0: [], last: []}, reader) == count
