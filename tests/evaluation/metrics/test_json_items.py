"""Items of JSON arrays, read in pieces of any size, against json.loads; broken files; spooled items."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from univs.errors import UserError
from univs.evaluation.metrics.json_items import json_arrays
from univs.evaluation.metrics.score_files import find_json, read_json
from univs.evaluation.metrics.spool import SpoolWriter
from univs.masks.rle import counts_as_text

AWKWARD = {
    "info": {"note": 'a } in a "text", { and [', "none": [], "deep": [[{"a": [1, {}]}]]},
    "empty": [],
    "numbers": [12345, -1.5e-7, 0, 1e22, True, None, False, 7],
    "texts": ["", "}{", "é \u20ac \U0001f600", 'back\\slash " and }', "x" * 90, "\\u"],
    "lists": [[], [[1, 2], [3]], [{"k": "]"}], {}],
    "number": 3.25,
    "annotations": [
        {"id": k, "segmentations": [None, {"size": [2, 3], "counts": "1}]"[:2]}], "x": k} for k in range(9)
    ],
    "": [{"last": None}],
}
PIECES = (1, 2, 3, 7, 64, 1 << 20)


def read(path: Path, piece: int = 1 << 20, prepare: Any = None) -> dict[str | None, list[Any]]:
    found = {}
    for key, items in json_arrays(path, "anything", prepare, piece):
        found[key] = [json.loads(text) if k % 2 else value for k, (value, text) in enumerate(items)]
    return found


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":"), "ensure_ascii": False}])
def test_items_are_those_of_json(tmp_path: Path, piece: int, style: dict[str, Any]) -> None:
    path = tmp_path / "a.json"
    text = json.dumps(AWKWARD, **style)
    path.write_text(f" \n{text}\t\r\n", encoding="utf-8")
    wanted = {key: value for key, value in AWKWARD.items() if isinstance(value, list)}
    assert read(path, piece) == wanted
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(text[:50].encode()) + gzip.compress(text[50:].encode()))
    assert read(tmp_path / "b.json", piece) == wanted
    path.write_text(json.dumps(AWKWARD["lists"], **style), encoding="utf-8-sig")
    assert read(path, piece) == {None: AWKWARD["lists"]}


@pytest.mark.parametrize("piece", PIECES)
def test_run_lengths_become_text_wherever_a_piece_ends(tmp_path: Path, piece: int) -> None:
    path = tmp_path / "a.json"
    rows = [{"m": [{"size": [2, 2], "counts": [k, 4 - k]}, None, {"counts": "k}"[:1]}]} for k in range(4)]
    path.write_text(json.dumps({"rows": rows}, indent=1))
    assert read(path, piece, counts_as_text)["rows"] == json.loads(counts_as_text(path.read_bytes()))["rows"]


def test_what_is_not_taken_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(AWKWARD))
    seen = {key: next(items).value for key, items in json_arrays(path, "anything", piece=5) if key in ("texts", "")}
    assert seen == {"texts": "", "": {"last": None}}
    for text in ("{}", "3", '"a"', "null"):
        path.write_text(text)
        assert read(path) == {}


@pytest.mark.parametrize("piece", (1, 5, 1 << 20))
@pytest.mark.parametrize(
    "text",
    [
        "", " \n", "no", '{"a": [1, 2', '{"a": [{"b": "c', '[{"a": 1},]', '[1 2]', '{"a" 1}', "{1: 2}", '{"a": 1,}',
        '[{"a": 1}]\n\n x', '{"a": tru}', '{\n"a": [\n{"b": 1}\n,\n{"c": nul}]}', '["\\x"]', '[1, 2}', '{"a": [1]',
        '[{"a": 1}, {"b": }, ' + "[0], " * 30 + "1]",
    ],
)  # fmt: skip
def test_broken_files_are_refused_in_the_words_of_json(tmp_path: Path, text: str, piece: int) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError) as wanted:
        read_json(path, "anything")
    with pytest.raises(UserError) as found:
        read(path, piece)
    assert str(found.value) == str(wanted.value)


@pytest.mark.parametrize("piece", (100, 1 << 20))
def test_a_number_of_too_many_digits_is_refused(tmp_path: Path, piece: int) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"score": %s}]' % ("9" * 5000))
    with pytest.raises(UserError, match=r"a.json is no JSON file \(a number has too many digits: line 1"):
        read(path, piece)


@pytest.mark.parametrize("counts", ['["12", "4"]', "[[12, 4]]", "[true, 15]", "[12.0, 4]", '["]", 4]'])
def test_counts_that_are_no_numbers_stay_what_they_are(counts: str) -> None:
    text = f'{{"size": [4, 4], "counts": {counts}, "next": {{"counts": [1, 2]}}}}'
    read = json.loads(counts_as_text(text.encode()))
    assert read["counts"] == json.loads(counts) and read["next"]["counts"] == ",1,2"


def test_what_came_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content, why in (
        (b"<!DOCTYPE html><html>", "a.json .*web page"),
        (b"[" * 100_000, "a.json is no JSON file .*nested"),
        ("[1]".encode("utf-16"), "a.json is no JSON file .*utf-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=why) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_broken_packing_and_missing_files_are_named(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(AWKWARD).encode())
    for name, content in (("cut", packed[:-20]), ("wrong", b"no gzip"), ("changed", packed[:-8] + bytes(8))):
        (tmp_path / f"{name}.json.gz").write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}.json.gz is no JSON file \(.*\); expected anything"):
            read(tmp_path / f"{name}.json")
    (tmp_path / "latin.json").write_bytes('["é"]'.encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.json is no JSON file \('utf-8' codec can't decode"):
        read(tmp_path / "latin.json")
    for folder in (Path(), Path("/")):
        with pytest.raises(UserError, match=r"is a folder; expected a file with anything"):
            find_json(folder, "anything")
    with pytest.raises(UserError, match="absent.json does not exist; expected a file with anything"):
        read(tmp_path / "absent.json")


def test_a_broken_item_is_refused_before_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": x}, ' + '{"b": 1}, ' * 2000 + "1]")
    pieces = []

    def count(piece: bytes) -> bytes:
        pieces.append(piece)
        return piece

    with pytest.raises(UserError, match=r"line 1 column 8 \(char 7\)"):
        read(path, 64, count)
    assert len(pieces) < 4


def test_spooled_items_are_read_by_place(tmp_path: Path) -> None:
    items = [{"a": "é"}, [1, 2], "\ud83d", 5]
    with SpoolWriter(tmp_path / "spool") as writer:
        for item in items:
            writer.add(json.dumps(item, ensure_ascii=False))
    spooled = writer.spooled
    assert list(spooled.read()) == items
    assert list(spooled.at([2, 0]).read()) == [items[2], items[0]]
    assert list(spooled.at(slice(0)).read()) == [] and spooled.at([1]).size == len("[1, 2]")
    assert spooled.size == (tmp_path / "spool").stat().st_size
