"""Ref-YouTube-VOS: what is written comes back, and what the real download does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from univs.errors import UserError
from univs.evaluation.metrics.expressions import score
from univs.formats import read_set
from univs.formats.ref_youtube_vos import write
from univs.formats.sample import VideoSample
from univs.video.pictures import write_picture


@pytest.mark.parametrize("split", ["train", "valid"])
def test_masks_and_sentences_come_back(split: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, split)
    found = pickle.loads(pickle.dumps(read_set("ref_ytvos", tmp_path, split)))
    for clip, recording in zip(synth_clips, found.recordings, strict=True):
        assert [path.stem for path in recording.frames] == ["00000", "00005", "00010", "00015", "00020"]
        sample, said = recording.sample(), {i: list(texts[:2]) for i, texts in clip.expressions.items()}
        assert sample.expressions == said and recording.name == clip.name
        assert [expression.key for expression in recording.expressions] == [
            str(key) for key in range(sum(map(len, said.values())))
        ]
        known = clip.object_ids() if split == "train" else list(said)
        np.testing.assert_array_equal(sample.labels, np.where(np.isin(clip.labels, known), clip.labels, 0))
        assert sample.categories == (clip.categories if split == "train" else {})
    meta = tmp_path / "meta_expressions" / split / "meta_expressions.json"
    assert found.file == (None if split == "train" else meta)


def test_server_splits_tell_sentences_alone(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """The official valid file also lists the videos of test, says nothing of objects, and there are no masks."""
    write(synth_clips, tmp_path, "valid")
    write(synth_clips[1:], tmp_path, "test")
    for split in ("valid", "test"):
        meta = tmp_path / "meta_expressions" / split / "meta_expressions.json"
        meta.with_name("mask_dict.json").unlink()
        content = json.loads(meta.read_text())
        for video in content["videos"].values():
            for said in video["expressions"].values():
                del said["obj_id"], said["anno_id"]
        meta.write_text(json.dumps(content))
    found = read_set("ref_ytvos", tmp_path)
    assert [recording.name for recording in found.recordings] == [synth_clips[0].name] and found.file is None
    recording = found.recordings[0]
    assert recording.annotated == () and recording.labels_of(0) is None
    assert {said.object_id for said in recording.expressions} == {None}
    assert recording.expressions[0].text == next(iter(synth_clips[0].expressions.values()))[0]


def test_the_truth_scores_full_marks(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "valid")
    for recording in read_set("ref_ytvos", tmp_path).recordings:
        for place, frame in enumerate(recording.frames):
            labels = recording.labels_of(place)
            assert labels is not None
            for said in recording.expressions:
                mask = (labels.objects == said.object_id).astype(np.uint8) * 255
                write_picture(tmp_path / "pred" / recording.name / said.key / f"{frame.stem}.png", mask)
    assert score(tmp_path / "meta_expressions" / "valid", tmp_path / "pred").summary["J&F"] == 1


def test_what_is_missing_is_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "valid")
    with pytest.raises(UserError, match="train/JPEGImages"):
        read_set("ref_ytvos", tmp_path, "train")
    (tmp_path / "valid" / "JPEGImages" / synth_clips[0].name / "00010.jpg").unlink()
    found = read_set("ref_ytvos", tmp_path)
    with pytest.raises(UserError, match=r"no frame .*00010\.jpg"):
        found.recordings[0]
    masks = tmp_path / "meta_expressions" / "valid" / "mask_dict.json"
    masks.write_text("{}")
    with pytest.raises(UserError, match=r"mask_dict\.json: expected a mask or null of annotation 0"):
        read_set("ref_ytvos", tmp_path)
