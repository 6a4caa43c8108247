from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from univs import FrameResult, Track, UserError, VideoResult
from univs.masks.overlaps import draw
from univs.results import TrackSpool, encode_rle


def labels_with(*places: tuple[int, slice, slice]) -> np.ndarray:
    labels = np.zeros((11, 17), np.int32)
    for object_id, rows, columns in places:
        labels[rows, columns] = object_id
    return labels


def test_rle_is_that_of_coco_and_comes_back() -> None:
    mask = np.random.default_rng(0).random((23, 31)) < 0.4
    rle = encode_rle(mask)
    reference = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle == {"size": [23, 31], "counts": reference["counts"].decode()}
    assert coco.area({**rle, "counts": rle["counts"].encode()}) == mask.sum()
    assert np.array_equal(draw(rle), mask)
    json.dumps(rle)


def test_frame_result_gives_masks_by_id() -> None:
    result = FrameResult(3, labels_with((300, slice(2, 4), slice(5, 9))), (1, 300))
    assert result.mask(300).sum() == 8
    assert result.rle(1) is None and draw(result.rle(300)).sum() == 8  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="object 2 is not followed at frame 3"):
        result.mask(2)


def spooled() -> tuple[TrackSpool, list[FrameResult]]:
    results = [
        FrameResult(0, labels_with((1, slice(0, 2), slice(0, 2))), (1,), {1: 0.5}),
        FrameResult(1, labels_with((11, slice(4, 7), slice(1, 3))), (1, 11), {1: 0.0, 11: 0.8}),
        FrameResult(3, labels_with((1, slice(1, 3), slice(0, 2)), (11, slice(5, 6), slice(5, 6))), (1, 11), {1: 1.0}),
    ]
    spool = TrackSpool()
    for result in results:
        spool.append(result)
    return spool, results


def test_spool_gives_the_tracks_of_the_frames_it_was_fed() -> None:
    spool, results = spooled()
    video = spool.result()
    assert (video.height, video.width, video.num_frames) == (11, 17, 4)
    assert [(track.object_id, track.score) for track in video.tracks] == [(1, 0.75), (11, 0.9)]  # no score counts as 1
    assert spool.visible_frames() == {1: 2, 11: 2}
    for track in video.tracks:
        for index, rle in enumerate(track.segmentations):
            fed = next((result for result in results if result.frame_index == index), None)
            expected = fed.rle(track.object_id) if fed and track.object_id in fed.object_ids else None
            assert rle == expected


def test_spool_can_be_read_between_two_frames() -> None:
    spool, results = spooled()
    before = spool.result()
    spool.append(FrameResult(4, results[0].labels, (1,)))
    after = spool.result()
    assert after.num_frames == 5 and after.tracks[0].segmentations[:4] == before.tracks[0].segmentations


def test_json_of_spool_and_result_are_the_same_and_come_back(tmp_path: Path) -> None:
    spool, _ = spooled()
    video = spool.result()
    spool.write_json(tmp_path / "results.json")
    entries = json.loads((tmp_path / "results.json").read_text())
    assert entries == video.to_json()
    assert [set(entry) >= {"video_id", "category_id", "score", "segmentations"} for entry in entries] == [True, True]
    back = VideoResult.from_json(entries)
    assert (back.height, back.width, back.num_frames) == (11, 17, 4)
    assert back.to_json() == entries
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_json_without_tracks(tmp_path: Path) -> None:
    spool = TrackSpool()
    spool.append(FrameResult(0, labels_with(), ()))
    spool.write_json(tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_foreign_json_is_refused() -> None:
    with pytest.raises(UserError, match="not a univs results file"):
        VideoResult.from_json([{"video_id": 1}])
    one = VideoResult(4, 5, 1, (Track(1, 1.0, (None,)),)).to_json()
    other = VideoResult(4, 6, 1, (Track(2, 1.0, (None,)),)).to_json()
    with pytest.raises(UserError, match="differ in height, width or length"):
        VideoResult.from_json(one + other)


def test_rotated_boxes_go_to_the_file_and_come_back(tmp_path: Path) -> None:
    square, turned = ((1.0, 2.0), (4.0, 2.0), (4.0, 6.5), (1.0, 6.5)), ((0.0, 3.0), (3.0, 0.0), (6.0, 3.0), (3.0, 6.0))
    first = labels_with((1, slice(2, 6), slice(1, 4)), (2, slice(7, 9), slice(7, 9)))
    with TrackSpool() as spool:
        spool.append(FrameResult(0, first, (1, 2), {1: 0.5}, rotated_boxes={1: square}))
        spool.append(FrameResult(1, labels_with(), (1, 2), {1: 0.25}, rotated_boxes={1: turned}))
        spool.append(FrameResult(2, labels_with(), (1, 2)))
        spool.write_json(tmp_path / "results.json")
        video = spool.result()
        assert spool.visible_frames() == {1: 1, 2: 1} and spool.scores()[1] == 0.5, "a box alone is not seen"
    assert [track.rotated_boxes for track in video.tracks] == [[square, turned, None], [None, None, None]]
    assert video.tracks[0].segmentations[1] is None and video.tracks[0].segmentations[0] is not None
    entries = json.loads((tmp_path / "results.json").read_text())
    assert entries[0]["rotated_boxes"][1] == [list(corner) for corner in turned]
    read = VideoResult.from_json(entries)
    assert read.tracks[0].rotated_boxes == (square, turned, None)
    assert VideoResult.from_json(json.loads(json.dumps(read.to_json()))) == read
    entries[0]["rotated_boxes"] = [[[0, 0]], None, None]
    with pytest.raises(UserError, match="lacks or garbles .*rotated_boxes.*: four corners or null for each frame"):
        VideoResult.from_json(entries)


def test_tracks_without_boxes_say_nothing_of_them() -> None:
    spool, _ = spooled()
    assert all(track.rotated_boxes is None for track in spool.result().tracks)
    assert all("rotated_boxes" not in entry for entry in spool.result().to_json())
