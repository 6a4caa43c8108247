"""A pack gives the photos, videos and clips that its sources give, but for what WebP loses."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from univs.data import build_clips, collate_clips  # noqa: E402
from univs.data.clips import READERS, TrainingClips  # noqa: E402
from univs.data.pack import open_pack, with_packed_settings  # noqa: E402
from univs.data.pack.writing import write_pack  # noqa: E402
from univs.data.photo import shrink  # noqa: E402
from univs.data.source_settings import open_sources  # noqa: E402
from univs.data.word_batches import WordImages, build_word_images, word_readers  # noqa: E402
from univs.errors import UserError  # noqa: E402
from univs.training.run import batches  # noqa: E402

CLOSE = 8.0
"""Levels by which WebP changes a pixel at most, on average over a picture."""


def difference(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


def clips_of(sources: list[dict[str, Any]], **settings: Any) -> TrainingClips:
    return build_clips(sources, {"photo": 0.6, "video": 0.4}, frames=3, size=64, seed=3, **settings)


def test_recordings_are_those_of_the_sources(
    sources: list[dict[str, Any]], pack_of: Callable[..., Any], coco_folder: Path
) -> None:
    path, packed = pack_of(sources)
    assert (packed.pictures, packed.sources) == (3 + 2 + 8 + 3, 4)
    expected, found = open_sources(sources, READERS), open_pack(path, "clips")
    assert [own.weight for own, _, _ in found] == [0.5, 2, 1, 0.1]
    assert [list(own.gaps) for own, _, _ in found] == [[1, 2], [1, 2], [1, 3], [1, 2]]
    for (_, one, _), (_, other, _) in zip(expected[:2], found[:2], strict=True):
        assert len(one) == len(other) and one.name == other.name
        for index in range(len(one)):
            photo, again = one[index], other[index]
            assert one.nouns(index) == other.nouns(index)
            assert (photo.name, photo.categories, photo.complete) == (again.name, again.categories, again.complete)
            np.testing.assert_array_equal(photo.labels, again.labels)
            assert difference(photo.image, again.image) < CLOSE
    assert 255 in found[1][1][0].labels  # the crowd of the first COCO image
    for (_, one, _), (_, other, _) in zip(expected[2:], found[2:], strict=True):
        assert len(one) == len(other)
        for video, again in zip(one, other, strict=True):
            assert (video.name, video.complete) == (again.name, again.complete)
            assert len(video.annotated) == len(again.annotated)
            for index in range(len(video.annotated)):
                (image, labels), (image_again, labels_again) = video.read(index), again.read(index)
                np.testing.assert_array_equal(labels, labels_again)
                assert difference(image, image_again) < CLOSE


def test_larger_pictures_are_shrunk_once(
    sources: list[dict[str, Any]], pack_of: Callable[..., Any], video_folder: Path
) -> None:
    """Photos are what their reader gives with that `longest`; videos are shrunk in the same way; small ones stay."""
    path, _ = pack_of(sources, longest=110)
    found = [source for _, source, _ in open_pack(path, "clips")]
    photos = READERS["photos"].opens(sources[0]["root"], category="cat", longest=110)
    for index in range(3):
        np.testing.assert_array_equal(photos[index].labels, found[0][index].labels)
        assert difference(photos[index].image, found[0][index].image) < CLOSE
    assert found[1][0].labels.shape == (80, 100)
    video = READERS["videos"].opens(video_folder)[1]
    for index in range(5):
        image, labels = video.read(index)
        image, labels = shrink(image, labels, 110)
        assert labels.shape == (82, 110)
        np.testing.assert_array_equal(labels, found[2][1].read(index)[1])
        assert difference(image, found[2][1].read(index)[0]) < CLOSE


def test_the_same_clips_are_drawn(sources: list[dict[str, Any]], pack_of: Callable[..., Any]) -> None:
    path, _ = pack_of(sources, quality=95)
    one, other = clips_of(sources), clips_of([{"kind": "pack", "file": str(path)}])
    kinds = set()
    for index in range(24):
        clip, again = one[index], other[index]
        assert (clip.targets, clip.kind, clip.complete) == (again.targets, again.kind, again.complete)
        np.testing.assert_array_equal(clip.labels, again.labels)
        assert difference(clip.frames, again.frames) < CLOSE
        np.testing.assert_array_equal(clip.first.ids, again.first.ids)
        kinds.add(clip.kind)
    assert kinds == {"static", "composite", "video"}


def test_the_weight_of_a_pack_is_shared_out(sources: list[dict[str, Any]], pack_of: Callable[..., Any]) -> None:
    path, _ = pack_of(sources)
    clips = clips_of([{"kind": "pack", "file": path, "weight": 4}, sources[0]])
    assert [source.weight for source in clips.videos] == [4, 0.4]
    assert clips.photos is not None
    np.testing.assert_allclose(clips.photos.weights, np.array([2, 8, 0.5]) / 10.5)
    with pytest.raises(UserError, match=r"gaps are for videos, not for the kind pack"):
        clips_of([{"kind": "pack", "file": path, "gaps": [1, 2]}])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_worker_processes(sources: list[dict[str, Any]], pack_of: Callable[..., Any], workers: int) -> None:
    path, _ = pack_of(sources)
    clips = clips_of([{"kind": "pack", "file": path}])
    clips[0]  # the file is open in this process before others are forked from it
    found = batches(clips, 2, workers, 0, 1, collate_clips)(0)
    for start in range(0, 12, 2):
        expected, batch = collate_clips([clips[start], clips[start + 1]]), next(found)
        assert torch.equal(batch["frames"], expected["frames"]) and torch.equal(batch["labels"], expected["labels"])


def test_sources_go_to_processes_that_share_nothing(sources: list[dict[str, Any]], pack_of: Callable[..., Any]) -> None:
    """As the loader sends them where processes are spawned: the open file stays behind."""
    path, _ = pack_of(sources)
    clips = clips_of([{"kind": "pack", "file": path}])
    expected = clips[5]
    sent = pickle.loads(pickle.dumps(clips.changed()))
    np.testing.assert_array_equal(sent[5].frames, expected.frames)


def test_words(coco_folder: Path, tmp_path: Path) -> None:
    """Names, stuff, panoptic maps and expressions; the built-in world is made anew."""
    said = tmp_path / "said.json"
    said.write_text('{"expressions": [{"expression": "the left one", "annotation_id": 7}]}')
    content = (coco_folder / "annotations.json").read_text()
    place = content.index('{"image_id": 3')
    content = content[:place] + '{"id": 7, ' + content[place + 1 :]
    (coco_folder / "annotations.json").write_text(content.replace('"width"', '"stuff_labelled": 1, "width"', 1))
    described: list[dict[str, Any]] = [
        {"kind": "coco", "root": coco_folder, "expressions": said, "weight": 3},
        {"kind": "synth", "size": [64, 64], "difficulty": 0.4, "weight": 0.5},
    ]
    path = tmp_path / "words.zip"
    write_pack(path, "words", open_sources(described, word_readers()), quality=95)
    one = build_word_images(described, size=48, seed=2)
    other = build_word_images([{"kind": "pack", "file": path}], size=48, seed=2)
    assert one.names == other.names and [weight for _, weight in other.sources] == [3, 0.5]
    compare_samples(one, other)
    shown = set()
    for index in range(20):
        image, again = one[index], other[index]
        for name in ("objects", "classes", "vocabulary", "stuff"):
            np.testing.assert_array_equal(getattr(image, name), getattr(again, name))
        for name in ("object_classes", "complete", "stuffed", "expression"):
            assert getattr(image, name) == getattr(again, name)
        assert difference(image.image, again.image) < CLOSE
        shown.add((image.stuffed, image.expression is not None))
    assert shown >= {(True, False), (False, True)}


def compare_samples(one: WordImages, other: WordImages) -> None:
    """The images of the first source, as they are stored."""
    stored, again = one.sources[0][0], other.sources[0][0]
    assert stored.stuff_names == again.stuff_names and len(stored) == len(again) == 3
    for index in range(3):
        sample, found = stored[index], again[index]
        assert (sample.name, sample.complete, sample.stuff) == (found.name, found.complete, found.stuff)
        assert list(sample.categories.items()) == list(found.categories.items())
        assert {k: list(v) for k, v in sample.expressions.items()} == {k: list(v) for k, v in found.expressions.items()}
        np.testing.assert_array_equal(sample.labels, found.labels)
        assert (sample.panoptic is None) == (found.panoptic is None) == (index > 0)
        if sample.panoptic is not None and found.panoptic is not None:
            np.testing.assert_array_equal(sample.panoptic, found.panoptic)


def test_a_pack_is_for_what_it_was_packed_for(
    sources: list[dict[str, Any]], pack_of: Callable[..., Any], coco_folder: Path, tmp_path: Path
) -> None:
    clips, _ = pack_of(sources)
    with pytest.raises(UserError, match=r"is for stage=clip or stage=image; pack its sources again with stage=words"):
        build_word_images([{"kind": "pack", "file": clips}], size=48)
    words = tmp_path / "words.zip"
    write_pack(words, "words", open_sources([{"kind": "coco", "root": coco_folder}], word_readers()))
    with pytest.raises(UserError, match=r"is for stage=words"):
        clips_of([{"kind": "pack", "file": words}])
    with pytest.raises(UserError, match=r"is for stage=words; it has no probabilities of clips"):
        with_packed_settings({"probabilities": None, "synth": {}, "sources": [{"kind": "pack", "file": words}]})


def test_recordings_by_place(sources: list[dict[str, Any]], pack_of: Callable[..., Any]) -> None:
    found = [source for _, source, _ in open_pack(pack_of(sources)[0], "clips")]
    assert (
        [video.name for video in found[2][0:2]] == [found[2][0].name, found[2][1].name] == ["davis/ball", "davis/walk"]
    )
    for index in (-1, 3):
        with pytest.raises(IndexError):
            found[0][index]


def test_settings_that_a_pack_keeps(sources: list[dict[str, Any]], pack_of: Callable[..., Any]) -> None:
    path, _ = pack_of(sources, probabilities={"photo": 0.7, "video": 0.3}, synth={"difficulty": 0.2})
    pack = {"kind": "pack", "file": str(path)}
    data = {"probabilities": None, "synth": None, "sources": [pack]}
    found = with_packed_settings(data)
    assert found == {"probabilities": {"photo": 0.7, "video": 0.3}, "synth": {"difficulty": 0.2}, "sources": [pack]}
    assert with_packed_settings({**data, "probabilities": {"photo": 1}})["probabilities"] == {"photo": 1}
    for others, count in (([], 0), ([pack, pack], 2)):
        with pytest.raises(UserError, match=rf"data.synth is null.*; {count} sources are packs"):
            with_packed_settings({**data, "probabilities": {"photo": 1}, "sources": others})
    path, _ = pack_of(sources, synth={"size": [8]})
    with pytest.raises(UserError, match=r"pack.zip, synth.size must be a list of 2"):
        with_packed_settings(data)


def test_a_pack_may_be_taken_without_its_masks(sources: list[dict[str, Any]], pack_of: Callable[..., Any]) -> None:
    path, _ = pack_of(sources)
    clips = clips_of([{"kind": "pack", "file": path, "supervision": "boxes"}])
    assert clips.known == "boxes" and clips.photos is None and not clips.videos
    assert [(one.sort, one.weight, list(one.gaps)) for one in clips.boxes] == [
        ("photo", 0.5, [1, 2]), ("photo", 2, [1, 2]), ("video", 1, [1, 3]), ("video", 0.1, [1, 2])
    ]  # fmt: skip
    assert all(clips[index].boxes is not None for index in range(8))
