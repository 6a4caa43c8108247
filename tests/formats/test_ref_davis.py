"""Ref-DAVIS17 in both of its layouts."""

from __future__ import annotations

import json
import pickle
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.davis_scores import score_ref_davis17
from univs.formats import Expression, Recording, RecordingSet, read_set
from univs.formats.ref_davis import TEXTS, AnnotatorFolders, write
from univs.formats.sample import VideoSample
from univs.masks.mask_files import write_labels
from univs.results import FrameResult


def expected_sentences(clip: VideoSample) -> set[tuple[str, str, int | None]]:
    """Key, text and object of what the four annotators say of a clip."""
    said = set()
    for number in clip.object_ids():
        texts = clip.expressions.get(number) or [f"the {clip.categories[number]}"]
        said |= {(f"anno_{a}/{number}", text, number) for a, text in enumerate(islice(cycle(texts), 4))}
    return said


def check(found: RecordingSet, clips: list[VideoSample]) -> None:
    assert [recording.name for recording in found.recordings] == [clip.name for clip in clips]
    for clip, recording in zip(clips, found.recordings, strict=True):
        assert {(e.key, e.text, e.object_id) for e in recording.expressions} == expected_sentences(clip)
        assert [e.key for e in recording.expressions[: len(clip.object_ids())]] == [
            f"anno_0/{number}" for number in clip.object_ids()
        ]
        np.testing.assert_array_equal(recording.sample().labels, clip.labels)
        assert recording.categories == clip.categories


def test_texts_as_handed_out_come_back(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "val")
    write(synth_clips[:1], tmp_path, "train")
    check(pickle.loads(pickle.dumps(read_set("ref_davis17", tmp_path))), synth_clips)
    check(read_set("ref_davis17", tmp_path, "train"), synth_clips[:1])


def test_the_converted_layout_is_read(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """As ReferFormer converts: four sentences for each object in turn, folders train and valid."""
    write(synth_clips, tmp_path / "DAVIS", "val")
    (tmp_path / "valid").mkdir()
    (tmp_path / "DAVIS" / "JPEGImages" / "480p").rename(tmp_path / "valid" / "JPEGImages")
    (tmp_path / "DAVIS" / "Annotations_unsupervised" / "480p").rename(tmp_path / "valid" / "Annotations")
    videos, objects = {}, {}
    for clip in synth_clips:
        said = sorted(expected_sentences(clip), key=lambda one: (one[2], one[0]))
        expressions = {str(k): {"exp": text, "obj_id": str(number)} for k, (_, text, number) in enumerate(said)}
        videos[clip.name] = {"expressions": expressions, "frames": [f"{t:05d}" for t in range(5)]}
        objects[clip.name] = {"objects": {str(i): {"category": noun} for i, noun in clip.categories.items()}}
    meta = tmp_path / "meta_expressions" / "valid" / "meta_expressions.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"videos": videos}))
    (tmp_path / "valid" / "meta.json").write_text(json.dumps({"videos": objects}))
    check(read_set("ref_davis17", tmp_path), synth_clips)


def test_official_spelling_and_coding(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """Three sequences are misspelt, the second person's files are Latin-1, texts lie beside the folder DAVIS."""
    clip = VideoSample(synth_clips[0].frames, synth_clips[0].labels, synth_clips[0].categories, name="classic-car")
    write([clip], tmp_path / "DAVIS", "val")
    (tmp_path / "DAVIS" / "davis_text_annotations").rename(tmp_path / "davis_text_annotations")
    path = tmp_path / "davis_text_annotations" / TEXTS[2]
    path.write_bytes('clasic-car 1 "a caf\u00e9 \'sign\' on the right"\r\nbmx 1 "a"\n'.encode("latin-1"))
    found = read_set("ref_davis17", tmp_path).recordings[0]
    said = [e for e in found.expressions if e.key.startswith("anno_2/")]
    assert [(e.key, e.text) for e in said] == [("anno_2/1", "a caf\u00e9 'sign' on the right")]


def test_the_truth_scores_full_marks(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "val")
    for recording in read_set("ref_davis17", tmp_path).recordings:
        for place, frame in enumerate(recording.frames):
            labels = recording.labels_of(place)
            assert labels is not None
            for annotator in range(4):
                asked = [e.object_id for e in recording.expressions if e.key.startswith(f"anno_{annotator}/")]
                shown = np.where(np.isin(labels.objects, asked), labels.objects, 0)
                write_labels(tmp_path / "pred" / f"anno_{annotator}" / recording.name / f"{frame.stem}.png", shown)
    assert score_ref_davis17(tmp_path, tmp_path / "pred").summary["J&F-Mean"] == 1


def test_what_is_missing_is_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "val")
    path = tmp_path / "davis_text_annotations" / TEXTS[3]
    kept = path.read_text()
    path.write_text(kept.replace(" 1 ", " one ", 1))
    with pytest.raises(UserError, match=f"{TEXTS[3]}, line 1: expected SEQUENCE OBJECT"):
        read_set("ref_davis17", tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=f"cannot read .*{TEXTS[3]}"):
        read_set("ref_davis17", tmp_path)
    (tmp_path / "davis_text_annotations").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"no sentences; expected .*Davis17_annot1\.txt, … or .*meta_expressions\.json"):
        read_set("ref_davis17", tmp_path)


def test_of_overlapping_answers_the_more_certain_one_has_the_pixel(tmp_path: Path) -> None:
    """Expressions of an annotator are numbered by themselves; what is not answered is nowhere."""
    said = (Expression("anno_0/1", "a", 1), Expression("anno_0/2", "b", 2), Expression("anno_1/1", "c", 1))
    recording = Recording("video", (Path("00000.jpg"),), expressions=said)
    writer = AnnotatorFolders(tmp_path, RecordingSet("ref_davis17", "val", tmp_path, [recording]))
    masks = np.zeros((3, 8, 12), bool)
    masks[0, :5], masks[1, 3:], masks[2, :, :4] = True, True, True
    for scores, first in (({1: 0.9, 2: 0.3}, 1), ({1: 0.2, 2: 0.3, 3: 0.1}, 2)):
        with writer.writing(recording) as take:
            labels = np.zeros((8, 12), np.uint8)
            take(FrameResult(0, labels, (1, 2, 3), scores, dict(enumerate(masks, 1))))
        both, alone = (np.array(Image.open(tmp_path / f"anno_{k}/video/00000.png")) for k in (0, 1))
        assert both[0].tolist() == [1] * 12 and both[7].tolist() == [2] * 12 and (both[3:5] == first).all()
        assert np.array_equal(alone, masks[2])
    assert writer.has(recording)
