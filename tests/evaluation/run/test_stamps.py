"""Stamps: what of a recording an answer is tied to, and what makes another one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.run.oracle import export
from univs.data.synth.dataset import SynthVS
from univs.evaluation.run.benchmark_run import find_job
from univs.evaluation.run.stamps import stamp, stamp_files
from univs.evaluation.run.synth_world import DrawnClips
from univs.formats import Expression, Recording
from univs.formats import ytvis as layout
from univs.formats.vspw import CLASS_FILE


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    files = [tmp_path / name for name in ("0.jpg", "1.jpg", "0.png")]
    for file in files:
        file.write_bytes(b"1234")
    return Recording("a", (files[0], files[1]), (0,), label_files=(files[2],), shown={1: 0})


CHANGES: list[Callable[[Path], object]] = [
    lambda root: (root / "1.jpg").write_bytes(b"12345"),
    lambda root: os.utime(root / "0.jpg", ns=(1, 2)),
    lambda root: os.utime(root / "0.png", ns=(1, 2)),
    lambda root: (root / "0.png").unlink(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_makes_another_stamp(
    change: Callable[[Path], object], recording: Recording, tmp_path: Path
) -> None:
    before = stamp(recording)
    (tmp_path / "other.jpg").write_bytes(b"of another video")
    assert stamp(recording) == before
    change(tmp_path)
    assert stamp(recording) != before


def test_what_a_set_says_beside_its_labels_is_part_of_it(recording: Recording) -> None:
    others = [
        replace(recording, shown={1: 1}),
        replace(recording, expressions=(Expression("0", "the left one"),)),
        replace(recording, categories={1: "cat"}),
        replace(recording, stuff={2: "sky"}),
        replace(recording, wanted=(0,)),
        recording.first(1),
    ]
    assert len({stamp(recording), *map(stamp, others)}) == 7


def test_drawn_frames_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in the working folder under their names."""
    clips = DrawnClips(SynthVS(length=2))
    monkeypatch.setattr(os, "stat", lambda path: pytest.fail(f"looked at {path}"))
    assert stamp(clips.recording(0)) == stamp(clips.recording(0))


def test_a_json_of_all_labels_is_part_of_the_settings(tmp_path: Path) -> None:
    clip = SynthVS(length=1, num_frames=2)[0]
    layout.write([clip], tmp_path / "set", "valid", style="2021")
    job = find_job("ytvis21", tmp_path / "set", "valid", None, tmp_path / "out")
    assert job.data.file is not None and job.recordings[0].label_files == ()
    os.utime(job.data.file, ns=(1, 2))
    other = find_job("ytvis21", tmp_path / "set", "valid", None, tmp_path / "out")
    assert other.made_from != job.made_from and stamp(other.recordings[0]) == stamp(job.recordings[0])
    assert stamp_files([None]) == stamp_files([None]) != stamp_files([])


def test_the_classes_that_are_asked_for_are_part_of_the_settings(tmp_path: Path) -> None:
    export("vspw", tmp_path / "set", 1, 2)

    def made_from() -> Mapping[str, Any]:
        return find_job("vspw", tmp_path / "set", None, None, tmp_path / "out").made_from

    before, file = made_from(), tmp_path / "set" / CLASS_FILE
    assert made_from() == before
    numbers = json.loads(file.read_text())
    first, last = (name for name in numbers if numbers[name] in ("1", str(len(numbers) - 1)))
    file.write_text(json.dumps(numbers | {first: numbers[last], last: numbers[first]}))
    assert made_from() != before
