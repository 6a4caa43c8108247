"""Masks of tracks of results.json, frame by frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from univs.commands.subject_masks import SubjectMasks
from univs.errors import UserError
from univs.results import encode_rle

HEIGHT, WIDTH, COUNT = 30, 40, 4


def track_masks(number: int) -> np.ndarray:
    """T H W of a track that is absent on frame `number`."""
    masks = np.random.default_rng(number).random((COUNT, HEIGHT, WIDTH)) > 0.7
    masks[number] = False
    return masks


def entry(number: int, **changes: Any) -> dict[str, Any]:
    rles = [encode_rle(mask) if mask.any() else None for mask in track_masks(number)]
    return {"video_id": 1, "object_id": number, "height": HEIGHT, "width": WIDTH, "segmentations": rles, **changes}


def write(folder: Path, entries: Any) -> Path:
    (folder / "results.json").write_text(json.dumps(entries))
    return folder


def test_the_union_of_the_tracks_that_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, [entry(1), entry(3), entry(2)])
    first, second, third = (track_masks(number) for number in (1, 2, 3))
    for ids, want in (((), first | second | third), ((3, 1), first | third), ((1, 3), first | third), ((2,), second)):
        with SubjectMasks(tmp_path, ids, (HEIGHT, WIDTH)) as masks:
            assert masks.num_frames == COUNT
            for t in range(COUNT):
                assert np.array_equal(masks.mask(t), want[t])
    with SubjectMasks(tmp_path / "results.json", (2,), (HEIGHT, WIDTH)) as masks:
        assert not masks.mask(2).any(), "the track is absent there"
        with pytest.raises(UserError, match="ends after 4 frames and the video goes on"):
            masks.mask(COUNT)


@pytest.mark.parametrize(
    ("entries", "ids", "message"),
    [
        ([entry(1), entry(2)], (5,), "--object 5: .* has no track of that id; it has 1, 2"),
        ([entry(1, height=31)], (), "is of frames of 40x31 pixels, those of the video have 40x30"),
        ([{"object_id": 1}], (), "is no results.json of univs segment: its entries lack object_id, height"),
        ({"tracks": [entry(1)]}, (), "is no results.json of univs segment"),
        ([entry(1, object_id="a")], (), "object_id is 'a'"),
        ([entry(1, object_id=True)], (), "object_id is True"),
        ([], (), "holds no tracks: nothing was found in the video, and there is no subject"),
        ([], (1,), "holds no tracks"),
        ([entry(1, segmentations=[{"size": [HEIGHT, WIDTH], "counts": "1"}])], (), "the mask of object 1 on frame 0"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path: Path, entries: Any, ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SubjectMasks(write(tmp_path, entries), ids, (HEIGHT, WIDTH))


def test_results_of_another_number_of_frames_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, [entry(1), entry(2, segmentations=[None] * (COUNT - 1))])
    with SubjectMasks(folder, (), (HEIGHT, WIDTH), COUNT) as masks:
        masks.ends_with(COUNT)
        for frames in (COUNT - 1, COUNT + 1):
            with pytest.raises(UserError, match=f"is of 4 frames and the video has {frames}"):
                masks.ends_with(frames)
            with pytest.raises(UserError, match="give the results of this video"):
                SubjectMasks(folder, (), (HEIGHT, WIDTH), frames)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; give the folder of univs segment, or its results.json"):
        SubjectMasks(tmp_path, (), (HEIGHT, WIDTH))
