"""Lines, labels and the index of a pack come back as they were, and nothing else is taken for them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from univs.data.pack.contents import (
    MEMBER,
    Index,
    PackedSource,
    Recorded,
    index_text,
    labels_text,
    member,
    read_index,
    read_labels,
    read_recorded,
    recorded_line,
    recordings_member,
)
from univs.errors import UserError


@pytest.mark.parametrize(
    "recorded",
    [
        Recorded("a", 1, False),
        Recorded(
            'sets/Straße\n"7"', 12, True, {3: "dog", 1: "猫"}, ("cat", "dog"), {9: "sky"}, {3: ("left one", "it barks")}
        ),
    ],
)
def test_recordings(recorded: Recorded) -> None:
    line = recorded_line(recorded)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    again = read_recorded(line, "here")
    assert again == recorded and list(again.categories) == list(recorded.categories)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'{"name": "a"}', b'{"name": "a", "frames": "x", "complete": true}', b"\xff"]
)
def test_lines_that_are_no_recordings(line: bytes) -> None:
    with pytest.raises(UserError, match="^here has a line that is no recording"):
        read_recorded(line, "here")


def test_labels_with_and_without_stuff() -> None:
    labels = np.zeros((7, 9), np.uint8)
    labels[2:5, 3:] = 4
    labels[6] = 255
    panoptic = np.where(labels == 0, 200, labels).astype(np.uint8)
    objects, none = read_labels(labels_text(labels, None), "here")
    np.testing.assert_array_equal(objects, labels)
    assert none is None
    objects, everything = read_labels(labels_text(labels, panoptic), "here")
    assert everything is not None
    np.testing.assert_array_equal(objects, labels)
    np.testing.assert_array_equal(everything, panoptic)
    empty, _ = read_labels(labels_text(0 * labels, None), "here")
    assert empty.shape == (7, 9) and not empty.any()


@pytest.mark.parametrize("objects", [{"256": "n1"}, {"-1": "n1"}, {"a": "n1"}, {"1": [63]}, [], None, {"1": ""}])
def test_ids_and_masks_that_are_none(objects: object) -> None:
    with pytest.raises(UserError, match="^here holds no labels"):
        read_labels(json.dumps({"size": [7, 9], "objects": objects}).encode(), "here")


def test_the_index() -> None:
    sources = [
        PackedSource("videos", "davis", 2.5, (1, 4), 7),
        PackedSource("samples", names=["a", "b"], stuff_names=["b"], recordings=1),
    ]
    index = Index("clips", [vars(source) for source in sources], 288, 60, {"photo": 0.3}, {"difficulty": 1})
    again, found = read_index(index_text(index), "here")
    assert (again.use, again.longest, again.quality) == ("clips", 288, 60)
    assert again.probabilities == {"photo": 0.3} and again.synth == {"difficulty": 1}
    assert [(one.sort, one.name, one.weight, one.recordings) for one in found] == [
        ("videos", "davis", 2.5, 7),
        ("samples", "", 1.0, 1),
    ]
    assert list(found[0].gaps) == [1, 4] and list(found[1].names) == ["a", "b"] and list(found[1].stuff_names) == ["b"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"sort": "sounds"}, "here, sources.0.sort must be photos or videos"),
        ({"sort": "photos", "weight": -1}, "here, sources.0.weight must be at least 0"),
        ({"sort": "photos", "file": "/etc/passwd"}, "unknown setting here, sources.0.file"),
    ],
)
def test_sources_that_are_none(source: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_index(index_text(Index("clips", [source], 1, 1)), "here")


def test_names_of_members() -> None:
    names = ["index.json", recordings_member(3), member(0, 12, 3, "webp"), member(999, 1_234_567, 123_456, "json")]
    assert names[1:3] == ["003/recordings.jsonl", "000/000012-00003.webp"]
    assert all(MEMBER.fullmatch(name) for name in names)
    strangers = [
        "../index.json",
        "/index.json",
        "index.json/",
        "000/../a.webp",
        "000/000012-00003.png",
        "٠٠٠/recordings.jsonl",
    ]
    assert not any(MEMBER.fullmatch(name) for name in strangers)
