"""Vocabularies by name, free words, and what is said about a slip."""

from __future__ import annotations

import pytest

from univs.errors import UserError
from univs.vocabularies import known, parse, plain_name, vocabulary


def test_benchmarks_have_their_numbers_of_categories() -> None:
    numbers = {
        "lvis": 1203,
        "ytvis21": 40,
        "ovis": 25,
        "coco_panoptic": 133,
        "ade20k": 150,
        "vipseg": 124,
        "camvid": 11,
    }
    assert {name: len(vocabulary(name).names) for name in numbers} == numbers
    assert set(numbers) < set(known())


def test_sets_that_share_names() -> None:
    assert vocabulary("coco").names == vocabulary("coco_panoptic").names[:80]
    assert vocabulary("coco").things == frozenset(range(80))
    for name in ("vspw", "viposeg"):
        assert vocabulary(name).names == vocabulary("vipseg").names
    assert vocabulary("burst").names == vocabulary("lvis").names


def test_things_and_stuff() -> None:
    vipseg = vocabulary("vipseg")
    assert vipseg.things is not None and len(vipseg.things) == 58
    assert {vipseg.names[i] for i in vipseg.things} >= {"person", "dog", "car", "door"}
    assert not {vipseg.names[i] for i in vipseg.things} & {"sky", "grass", "wall", "road"}
    assert vocabulary("ovis").things is None


def test_free_names() -> None:
    free = parse(" dog, red car,dog , the man's hat,")
    assert (free.name, free.names, free.things) == ("free", ("dog", "red car", "the man's hat"), None)
    assert parse("dog").names == ("dog",)
    assert parse("vipseg,").names == ("vipseg",), "a comma says that it is a category"
    assert parse("vipseg").names == vocabulary("vipseg").names


@pytest.mark.parametrize("text", ["vipsec", "COCO-panoptic", "ytvis2021"])
def test_nearly_a_vocabulary(text: str) -> None:
    with pytest.raises(UserError, match=rf"unknown vocabulary '{text}'; did you mean"):
        parse(text)


def test_unknown_vocabulary() -> None:
    with pytest.raises(UserError, match="did you mean vipseg"):
        vocabulary("vipsec")
    with pytest.raises(UserError, match="there are ade20k, bdd_track"):
        vocabulary("zzzz")
    with pytest.raises(UserError, match="no category"):
        parse(" , ")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("sky-other-merged", "sky"),
        ("door-stuff", "door"),
        ("wall-brick", "wall-brick"),
        ("traffic_light", "traffic light"),
        ("aerosol_can :  a dispenser that holds a substance under pressure", "aerosol can"),
        ("tiger shark, Galeocerdo cuvieri", "tiger shark"),
        ("bow_(weapon) :  a weapon", "bow (weapon)"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain
