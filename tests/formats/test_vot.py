"""VOT-style folders: what is read, what is refused, and the protocol of beginning anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.formats.vot import (
    RegionFiles,
    ResetProtocol,
    line_of_region,
    predicted_region,
    read,
    read_regions,
    region_of_line,
    truth,
)
from univs.results import FrameResult

SIZE = (40, 60)


def box(x: float, y: float, width: float = 10, height: float = 8) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)


def write_sequence(folder: Path, lines: list[str], *, colour: bool = False) -> Path:
    """A sequence with grey frames."""
    home = folder / "color" if colour else folder
    home.mkdir(parents=True, exist_ok=True)
    for index in range(len(lines)):
        Image.fromarray(np.full((*SIZE, 3), 90 + index, np.uint8)).save(home / f"{index + 1:08d}.png")
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_sequences_lie_here_or_there(tmp_path: Path) -> None:
    write_sequence(tmp_path / "one" / "ball", ["1,2,10,8"] * 3)
    write_sequence(tmp_path / "one" / "ant", ["1,2,11,2,11,10,1,10"] * 2, colour=True)
    plain = read(tmp_path / "one")
    assert [(each.name, len(each)) for each in plain.recordings] == [("ant", 2), ("ball", 3)]
    assert plain.recordings[0].frames[1].name == "00000002.png"
    (tmp_path / "two").mkdir()
    (tmp_path / "one").rename(tmp_path / "two" / "sequences")
    (tmp_path / "two" / "sequences" / "list.txt").write_text("ball\n")
    assert [each.name for each in read(tmp_path / "two").recordings] == ["ball"]
    with pytest.raises(UserError, match="no sequence ant in .*there are ball"):
        read(tmp_path / "two", ["ant"])


def test_what_is_no_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vot: no folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="vot: no sequence in"):
        read(tmp_path)
    folder = write_sequence(tmp_path / "ball", ["1,2,3,4"] * 3)
    (folder / "groundtruth.txt").write_text("1,2,3,4\n")
    with pytest.raises(UserError, match="has 1 lines for 3 frames"):
        read(tmp_path)
    (folder / "groundtruth.txt").write_text("nan,nan,nan,nan\n" * 3)
    with pytest.raises(UserError, match="tells nowhere where the object is"):
        read(tmp_path)


def test_lines_of_regions() -> None:
    region = region_of_line("1.5,2,10,8", "here")
    assert region is not None and np.array_equal(region, box(1.5, 2))
    quad = region_of_line("1,2\t3,4,5,6,7,8", "here")
    assert quad is not None and quad.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert region_of_line("NaN,NaN,NaN,NaN", "here") is None and region_of_line("1,nan,3,4", "here") is None
    assert line_of_region(np.array([[1.23456, 2], [3, 4.00004]])) == "1.2346,2.0000,3.0000,4.0000"
    five = region_of_line("1,2,3,4,5,6,7,8,9,10", "here")
    assert five is not None and five.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    again = region_of_line(line_of_region(quad), "here")
    assert again is not None and np.array_equal(again, quad)
    for line, words in (("1,2,3", "3 numbers; a box has 4"), ("1,b,3,4", "is no region"), ("1,2,inf,4", "not finite")):
        with pytest.raises(UserError, match=f"here: .*{words}"):
            region_of_line(line, "here")


def test_the_protocol_begins_anew_five_frames_after_a_failure() -> None:
    true: list[np.ndarray | None] = [None, *[box(10, 10)] * 14]
    true[3] = None
    true[9] = None
    protocol, lines = ResetProtocol(true), []
    for index in range(15):
        predicted = box(40, 10) if index == 4 else None if index == 13 else box(12, 11)
        begins = protocol.begins(index, SIZE)
        lines.append(protocol.take(index, predicted, SIZE))
        assert begins == (lines[-1] == "1")
    region = line_of_region(box(12, 11))
    assert lines == ["0", "1", region, region, "2", "0", "0", "0", "0", "0", "1", region, region, "2", "0"]


def test_a_touch_is_no_failure() -> None:
    true = box(10, 10)
    protocol = ResetProtocol([true] * 4)
    answers = (None, box(19.5, 17.5), box(20, 10), None)  # half a pixel in either direction; side by side
    assert [protocol.take(index, one, SIZE)[:4] for index, one in enumerate(answers)] == ["1", "19.5", "2", "0"]


def test_a_small_mask_is_an_answer_too() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[5:9, 10:16] = 1
    found = predicted_region(FrameResult(0, labels, (1,)))
    assert found is not None and (found.min(0).tolist(), found.max(0).tolist()) == ([10, 5], [15, 8])


def test_nobody_begins_where_nothing_of_the_object_lies_in_the_frame() -> None:
    height, width = SIZE
    for outside in (box(width, 5), box(5, height), box(-10, 5), box(10, 10, 0, 0)):
        protocol = ResetProtocol([outside, box(width - 1, 5)])
        assert not protocol.begins(0, SIZE) and protocol.take(0, None, SIZE) == "0"
        assert protocol.begins(1, SIZE) and protocol.take(1, None, SIZE) == "1"


def test_a_sequence_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    write_sequence(tmp_path / "ball", ["1,2,10,8"] * 2)
    (tmp_path / "list.txt").write_text("ball\n\nball\n")
    assert len(read(tmp_path).recordings) == len(read(tmp_path, ["ball", "ball"]).recordings) == 1
    (tmp_path / "list.txt").write_text("../ball\n")
    with pytest.raises(UserError, match="leads out of"):
        read(tmp_path)


def test_what_an_answer_says_of_the_object() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[5:20, 10:30] = 1
    turned = ((1.0, 2.0), (3.0, 4.0), (5.0, 2.0), (3.0, 0.0))
    both = FrameResult(0, labels, (1,), rotated_boxes={1: turned})
    assert np.array_equal(predicted_region(both), np.array(turned))
    of_mask = predicted_region(FrameResult(0, labels, (1,)))
    assert of_mask is not None and (of_mask.min(0).tolist(), of_mask.max(0).tolist()) == ([10, 5], [29, 19])
    assert predicted_region(FrameResult(0, labels * 0, (1,))) is None is predicted_region(FrameResult(0, labels, ()))


def test_answers_are_files_of_the_challenge(tmp_path: Path) -> None:
    write_sequence(tmp_path / "vot" / "ball", ["42,10,10,8"] * 4)  # beyond the height, in the frame
    data = read(tmp_path / "vot")
    (recording,) = data.recordings
    writer = RegionFiles(tmp_path / "pred")
    assert not writer.has(recording)
    (tmp_path / "pred" / "baseline" / "ball").mkdir(parents=True)
    (tmp_path / "pred" / "baseline" / "ball" / "ball_001.txt").write_text("1\n0\n")
    assert not writer.has(recording), "of other frames"
    with writer.writing(recording) as take:
        for index, x in enumerate((42, 43, 44, 5)):
            corners = tuple(map(tuple, box(x, 10)))
            take(FrameResult(index, np.ones(SIZE, np.uint8), (1,), rotated_boxes={1: corners}))
    lines = (tmp_path / "pred" / "baseline" / "ball" / "ball_001.txt").read_text().splitlines()
    assert lines == ["1", line_of_region(box(43, 10)), line_of_region(box(44, 10)), "2"] and writer.has(recording)
    folder = truth(data, data.recordings, tmp_path / "truth")
    assert [each.name for each in read(folder).recordings] == ["ball"]
    assert len(read_regions(folder / "ball" / "groundtruth.txt")) == 4
    with pytest.raises(UserError, match="no file"):
        read_regions(tmp_path / "nothing.txt")
