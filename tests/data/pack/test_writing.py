"""What is packed, how large it gets, and that no half of it is left behind."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2")

from univs.data.clips import READERS  # noqa: E402
from univs.data.pack import open_pack  # noqa: E402
from univs.data.pack import writing as writing_module  # noqa: E402
from univs.data.pack.entries import entries_of, spread_frames  # noqa: E402
from univs.data.pack.writing import FLOOR, with_longest  # noqa: E402
from univs.data.source_settings import open_sources  # noqa: E402
from univs.errors import UserError  # noqa: E402

Pack = Callable[..., Any]


def test_the_same_sources_make_the_same_file(sources: list[dict[str, Any]], pack_of: Pack) -> None:
    one, other = pack_of(sources, "one")[0], pack_of(sources, "other")[0]
    assert one.read_bytes() == other.read_bytes()


def test_pictures_are_stored_and_masks_packed(sources: list[dict[str, Any]], pack_of: Pack) -> None:
    """Any tool can look into the file."""
    with zipfile.ZipFile(pack_of(sources)[0]) as file:
        assert file.testzip() is None
        kinds = {(member.filename.rpartition(".")[2], member.compress_type) for member in file.infolist()}
    assert kinds >= {("webp", zipfile.ZIP_STORED), ("jsonl", zipfile.ZIP_DEFLATED), ("json", zipfile.ZIP_DEFLATED)}
    assert ("webp", zipfile.ZIP_DEFLATED) not in kinds


def test_what_is_never_drawn_is_left_out(sources: list[dict[str, Any]], pack_of: Pack) -> None:
    path, packed = pack_of([{**sources[0], "weight": 0}, *sources[1:]])
    assert packed.sources == len(open_pack(path, "clips")) == 3
    with pytest.raises(UserError, match="nothing to pack"):
        pack_of([{**sources[0], "weight": 0}])


def test_a_pack_can_be_packed_again(sources: list[dict[str, Any]], pack_of: Pack) -> None:
    first, _ = pack_of(sources, "first")
    again, packed = pack_of([{"kind": "pack", "file": str(first), "weight": 3}], "again", longest=80)
    assert packed.sources == 4
    found = open_pack(again, "clips")
    assert [own.weight for own, _, _ in found] == pytest.approx([1.5, 6, 3, 0.3])
    assert list(found[2][0].gaps) == [1, 3] and found[0][1][0].labels.shape == (60, 80)
    assert found[0][1].nouns(0) == {"cat"} and found[2][1][0].name == "davis/ball"


def test_readers_that_shrink_are_told_to(sources: list[dict[str, Any]]) -> None:
    described = [*sources, {**sources[0], "longest": 90}]
    assert [one.get("longest") for one in with_longest(described, READERS, 100)] == [100, 100, None, None, 90]
    assert with_longest(described, READERS, 500) == described
    assert with_longest([{"kind": "nobody"}], READERS, 100) == [{"kind": "nobody"}]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_quality_is_lowered_to_fit(sources: list[dict[str, Any]], pack_of: Pack, share: float) -> None:
    small, large = (pack_of(sources, quality=quality)[1].size for quality in (FLOOR, 80))
    limit = round(small + share * (large - small))
    path, packed = pack_of(sources, limit=limit)
    assert packed.size == path.stat().st_size <= limit and FLOOR <= packed.quality < 80
    assert pack_of(sources, quality=packed.quality)[1].size == packed.size
    assert pack_of(sources, quality=packed.quality + 5)[1].size > 0.97 * limit  # no lower than it must be
    assert pack_of(sources, limit=2 * large)[1].quality == 80


def test_a_quality_below_the_floor_is_taken_as_it_is(sources: list[dict[str, Any]], pack_of: Pack) -> None:
    size = pack_of(sources, quality=20)[1].size
    assert pack_of(sources, quality=20, limit=2 * size)[1].quality == 20
    with pytest.raises(UserError, match="at quality 20, and --limit allows"):
        pack_of(sources, quality=20, limit=size // 2)


def test_what_does_not_fit_is_said_before_it_is_written(sources: list[dict[str, Any]], pack_of: Pack) -> None:
    done: list[str] = []
    smallest = pack_of(sources, quality=FLOOR)[1].size
    with pytest.raises(UserError) as error:
        pack_of(sources, "none", limit=2000, longest=110, progress=lambda what, *_: done.append(what))
    message = str(error.value)
    assert f"at quality {FLOOR}" in message and "allows 2.0 kB" in message and "--longest (now 110)" in message
    said = float(message.partition("about ")[2].partition(" ")[0]) * 1e3
    assert 0.5 * smallest < said < smallest and set(done) == {"measuring"}


def test_a_guess_that_was_too_small_costs_a_step(
    photo_folder: Path, pack_of: Pack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first of three photos, the only one that is looked at, is flat."""
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(photo_folder / "images" / "p0.jpg")
    sources = [{"kind": "photos", "root": photo_folder}]
    whole, least = (pack_of(sources, quality=quality)[1].size for quality in (80, FLOOR))
    monkeypatch.setattr(writing_module, "SAMPLED", 1)
    _, packed = pack_of(sources, limit=whole - 1)
    assert packed.quality < 80 and packed.size < whole
    with pytest.raises(UserError, match=rf"a little more than .* at quality {FLOOR}"):
        pack_of(sources, "none", limit=least - 1)
    assert [path.name for path in tmp_path.iterdir() if "none" in path.name] == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("a picture is broken")])
def test_nothing_half_written_remains(
    sources: list[dict[str, Any]], pack_of: Pack, tmp_path: Path, error: BaseException
) -> None:
    def stop(what: str, total: int, done: int) -> None:
        if done == 5:
            raise error

    before = sorted(tmp_path.iterdir())
    with pytest.raises((KeyboardInterrupt, UserError)):
        pack_of(sources, progress=stop)
    assert sorted(tmp_path.iterdir()) == before


def test_sampled_frames_are_spread(sources: list[dict[str, Any]]) -> None:
    opened = [entries_of(source, 1000) for _, source, _ in open_sources(sources, READERS)]
    every = [
        (source, recording, frame)
        for source, entries in enumerate(opened)
        for recording, count in enumerate(entries.counts)
        for frame in range(count)
    ]
    assert len(every) == 16 and spread_frames(opened, 100) == spread_frames(opened, 16) == every
    assert spread_frames(opened, 4) == every[::4] and spread_frames(opened[:0], 5) == []
