"""Following with SiamMask: objects one by one and together, what is kept, what is refused, the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.test_siammask import made_network
from univs import cli
from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.models.own_files import save
from univs.models.siammask import SiamMask
from univs.prompts import Box, Mask, Points
from univs.streaming import Session
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.siammask import (
    BASE,
    DAVIS,
    PYSOT,
    VOT,
    VOT_LD,
    SiamMaskSettings,
    SiamMaskTracker,
    box_map,
    merged,
    shown_target,
)
from univs.trackers.siammask_answers import Target
from univs.trackers.tracker import Frame, Question

HEIGHT, WIDTH, COUNT = 60, 80, 5
FRAMES = np.random.default_rng(0).integers(0, 255, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)
FIRST, SECOND, THIRD = Box(1, (10, 10, 30, 34)), Box(2, (40, 20, 70, 44)), Box(3, (5, 40, 25, 58))


@pytest.fixture(scope="module")
def network() -> SiamMask:
    torch.manual_seed(2)
    made = made_network()
    assert made.refinement is not None
    made.refinement.after[2].weight *= 20
    return made.ready("float32", False)


def tracker_of(network: Any, settings: SiamMaskSettings = DAVIS) -> SiamMaskTracker:
    return SiamMaskTracker(network, Question(Geometry.fit(HEIGHT, WIDTH)), settings)


def said(*boxes: Box) -> dict[int, ObjectPrompt]:
    return {box.object_id: ObjectPrompt(boxes=[box]) for box in boxes}


def test_objects_together_are_as_they_are_alone(network: SiamMask, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {}
    for box in (FIRST, SECOND, THIRD):
        tracker = tracker_of(network)
        alone[box.object_id] = [
            (tracker.follow(Frame(index, frame), said(box) if index == 0 else {})[box.object_id], tracker.objects)
            for index, frame in enumerate(FRAMES)
        ]
    for at_once in (16, 2):
        monkeypatch.setattr("univs.trackers.siammask.OBJECTS_AT_ONCE", at_once)
        tracker = tracker_of(network)
        for index, frame in enumerate(FRAMES):
            answers = tracker.follow(Frame(index, frame), said(THIRD, FIRST, SECOND) if index == 0 else {})
            assert list(answers) == [3, 1, 2] == list(tracker.object_ids)
            for object_id, answer in answers.items():
                want = alone[object_id][index][0]
                assert np.abs(answer.map - want.map).max() < 1e-2
                assert answer.box is not None and want.box is not None
    assert all(np.ptp(answer.map[answer.map > -1]) > 0.05 for answer in answers.values()), "the network says something"


def test_what_is_kept_does_not_grow(network: SiamMask) -> None:
    tracker = tracker_of(network)
    tracker.follow(Frame(0, FRAMES[0]), said(FIRST, SECOND))
    before = dict(tracker.objects)
    for index in range(1, COUNT):
        tracker.follow(Frame(index, FRAMES[index]), {})
    for object_id, known in tracker.objects.items():
        assert known.template is before[object_id].template, "the template is never renewed"
        assert 0 <= known.target.x <= WIDTH and 10 <= known.target.width <= WIDTH
        assert known.target != before[object_id].target and known.score < 1
    tracker.remove(1)
    assert tracker.object_ids == (2,) and list(tracker.follow(Frame(5, FRAMES[0]), {})) == [2]
    with pytest.raises(KeyError):
        tracker.remove(1)


def test_a_given_mask_is_the_answer_and_its_box_the_start(network: SiamMask) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[12:40, 20:50] = True
    with Session(network, way="vot") as session:
        result = session.step(FRAMES[0], [Mask(300, mask)])
        assert np.array_equal(result.labels == 300, mask) and result.scores == {300: 1.0}
        assert sorted(result.rotated_boxes[300]) == [(20, 12), (20, 39), (49, 12), (49, 39)]
        assert not session.step(FRAMES[1], [Box(7, (0, 0, 20, 20))]).scores.keys() - {300, 7}
        again = session.step(FRAMES[2], [Mask(7, mask)])
        assert np.array_equal(again.labels == 7, mask) or (again.labels[mask] == 300).any()
        tracks = {track.object_id: track for track in session.finish().tracks}
    assert tracks[300].rotated_boxes is not None and None not in tracks[300].rotated_boxes
    assert tracks[7].rotated_boxes is not None and tracks[7].rotated_boxes[0] is None


def test_a_box_is_answered_on_its_own_frame_and_not_moved(network: SiamMask) -> None:
    tracker = tracker_of(network)
    answer = tracker.follow(Frame(0, FRAMES[0]), said(FIRST))[1]
    assert answer.map.max() > 0 and tracker.objects[1].target == Target(20, 22, 20, 24)
    assert tracker.objects[1].score == 1 and answer.box is not None
    assert answer.box.tolist() == [[10, 10], [30, 10], [30, 34], [10, 34]]
    moved = tracker.follow(Frame(1, FRAMES[1]), {}) and tracker.objects[1].target
    tracker.follow(Frame(2, FRAMES[2]), said(FIRST))
    assert tracker.objects[1].target == Target(20, 22, 20, 24) != moved, "a later box begins anew"


def test_boxes_alone(network: SiamMask) -> None:
    settings = SiamMaskSettings(masks=False)
    tracker = tracker_of(network, settings)
    tracker.follow(Frame(0, FRAMES[0]), said(FIRST))
    answer = tracker.follow(Frame(1, FRAMES[1]), {})[1]
    assert tracker.objects[1].template.mask is None
    assert answer.box is not None and np.ptp(answer.box[:, 0]) > 0
    assert set(np.unique(answer.map)) == {-1, 1}
    middle = answer.box.mean(0).astype(int)
    assert answer.map[min(middle[1], HEIGHT - 1), min(middle[0], WIDTH - 1)] == 1
    with_masks = tracker_of(network, SiamMaskSettings())
    with_masks.follow(Frame(0, FRAMES[0]), said(FIRST))
    with_masks.follow(Frame(1, FRAMES[1]), {})
    assert with_masks.objects[1].target == tracker.objects[1].target, "boxes do not depend on masks"


def test_the_lost_stay_where_they_were(network: SiamMask) -> None:
    tracker = tracker_of(network, SiamMaskSettings(lost_below=1.0))
    tracker.follow(Frame(0, FRAMES[0]), said(FIRST))
    answer = tracker.follow(Frame(1, FRAMES[1]), {})[1]
    assert answer.box is None and (answer.map == -1).all()
    assert tracker.objects[1].target == Target(20, 22, 20, 24) and 0 < tracker.objects[1].score < 1


def test_what_is_said_outside_and_where_boxes_end(network: SiamMask) -> None:
    """PySOT's ways: 0 outside of masks, and upright boxes of a target that is in the frame."""
    maps = {}
    for settings in (VOT_LD, PYSOT):
        tracker = tracker_of(network, settings)
        tracker.follow(Frame(0, FRAMES[0]), said(Box(1, (0, 0, 12, 12))))
        maps[settings.outside] = tracker.follow(Frame(1, FRAMES[1]), {})[1].map
    assert maps[-1.0].min() == -1 and maps[0.0].min() == 0
    assert PYSOT.half_up and PYSOT.clamp_first and (PYSOT.change_penalty, PYSOT.mask_threshold) == (0.1, 0.15)


def test_the_highest_map_counts() -> None:
    maps = {5: np.array([[0.2, 0.5, 0.9]], np.float32), 9: np.array([[0.1, 0.5, 1.0]], np.float32)}
    assert merged(maps, (1, 3), 0.3).tolist() == [[0, 5, 9]]
    assert merged({}, (1, 3), 0.3).tolist() == [[0, 0, 0]]
    inside = box_map(Target(2, 1, 2, 2), (3, 4), -1)
    assert inside.tolist() == [[-1, 1, 1, -1], [-1, 1, 1, -1], [-1] * 4]


def test_boxes_count_before_masks() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[0:4, 0:6] = True
    both = ObjectPrompt(boxes=[Box(1, (10, 10, 20, 20)), Box(1, (15, 5, 30, 18))], masks=[Mask(1, mask)])
    assert shown_target(1, both) == Target(20, 12.5, 20, 15)
    assert shown_target(1, ObjectPrompt(masks=[Mask(1, mask)])) == Target(3, 2, 6, 4)


def test_what_cannot_be_followed_is_refused(network: SiamMask) -> None:
    with Session(network) as session, pytest.raises(UserError, match="object 3 is not shown by a box or mask"):
        session.step(FRAMES[0], [Points(3, ((4, 4),))])
    with Session(network, size=30) as session, pytest.raises(UserError, match="leave out the size"):
        session.step(FRAMES[0], [FIRST])
    for side in (250, 263):
        with Session(network, search_side=side) as session, pytest.raises(UserError, match="127 and a multiple of 16"):
            session.step(FRAMES[0], [FIRST])
    for side in (126, 4111):
        with pytest.raises(UserError, match="search_side must be at "):
            Session(network, search_side=side)
    with pytest.raises(UserError, match="the task vos has no way 'frame'"):
        Session(network, way="frame")
    for side in (287, 127):
        with Session(network, search_side=side) as session:
            session.step(FRAMES[0], [FIRST])
            assert session.step(FRAMES[1]).object_ids == (1,)


def test_boxes_smaller_than_a_pixel(network: SiamMask) -> None:
    with Session(network) as session:
        first = session.step(FRAMES[0], [Box(1, (3, 3, 3.001, 3.001)), Box(2, (0, 0, WIDTH, 1e-6))])
        later = session.step(FRAMES[1])
    assert first.object_ids == later.object_ids == (1, 2)
    assert all(np.isfinite(one.rotated_boxes[number]).all() for one in (first, later) for number in (1, 2))


def test_a_refused_frame_changes_nothing(network: SiamMask) -> None:
    with Session(network) as session:
        with pytest.raises(UserError, match="is not shown by a box or mask"):
            session.step(FRAMES[0][:20], [Points(3, ((4, 4),))])
        assert session.object_ids == ()
        results = [session.step(FRAMES[0], [FIRST])]
        with pytest.raises(UserError, match="is not shown by a box or mask"):
            session.step(FRAMES[1], [SECOND, Points(3, ((4, 4),))])
        assert session.object_ids == (1,)
        results += [session.step(frame) for frame in FRAMES[1:3]]
        tracks = session.finish().tracks
    with Session(network) as session:
        want = [session.step(frame, [FIRST] if not index else []) for index, frame in enumerate(FRAMES[:3])]
    assert [one.frame_index for one in results] == [0, 1, 2] and [track.object_id for track in tracks] == [1]
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(results, want, strict=True))


def test_the_numbers_of_the_benchmarks() -> None:
    rows = {
        (one.change_penalty, one.window_share, one.size_rate, one.mask_threshold) for one in (DAVIS, VOT, VOT_LD, BASE)
    }
    assert rows == {(0.04, 0.4, 1.0, 0.35), (0.04, 0.42, 0.25, 0.3), (0.1, 0.41, 0.32, 0.15), (0.09, 0.39, 0.38, 0.3)}


def test_univs_segment_follows_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.fromarray(FRAMES[index]).save(tmp_path / "frames" / f"{index}.png")
    network = made_network()
    save(network, tmp_path / "light.safetensors", network.config)
    asked = [str(tmp_path / "frames"), "--weights", str(tmp_path / "light.safetensors"), "--json"]
    shown = ["--box", "1@0:10,10,30,34", "--box", "4@1:40,20,70,44", "--out", str(tmp_path / "out")]
    assert cli.main(["segment", *asked, *shown, "--model", "siammask_light", "--set", "way=vot"]) == 0
    assert [one["object_id"] for one in json.loads(capsys.readouterr().out)["objects"]] == [1, 4]
    entries = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [[box is None for box in entry["rotated_boxes"]] for entry in entries] == [[False] * 3, [True, False, False]]
    assert entries[0]["rotated_boxes"][0] == [[10, 10], [30, 10], [30, 34], [10, 34]]
    assert cli.main(["segment", *asked, "--point", "1@0:9,9", "--out", str(tmp_path / "out2")]) == 2
    assert "object 1 is not shown by a box or mask" in capsys.readouterr().err
