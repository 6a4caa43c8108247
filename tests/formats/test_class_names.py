"""Names of classes as they are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from univs.errors import UserError
from univs.formats import RecordingSet
from univs.formats.class_names import ClassNames


def test_names_are_plain_and_told_apart() -> None:
    classes = {3: "wall-other-merged", 7: "wall-stuff", 9: "traffic_light"}
    data = RecordingSet("x", "val", Path(), (), classes, frozenset({9}))
    names = ClassNames.of(data)
    assert names.ids == {"wall-other-merged": 3, "wall-stuff": 7, "traffic light": 9}
    assert names.categories.names == tuple(names.ids) and names.categories.things == {2}
    assert names.id_of("traffic light", "v") == 9
    with pytest.raises(UserError, match="none of the classes"):
        names.id_of("lamp", "v")
    with pytest.raises(UserError, match="names no classes"):
        ClassNames.of(replace(data, classes={}))
