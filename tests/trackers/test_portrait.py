"""People found frame by frame: what goes back in, cuts, sizes, and that the loop plays along."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import univs
from tests.models.test_portrait import net
from univs.masks.geometry import Geometry
from univs.models.portrait import PortraitNet
from univs.prompts import Box
from univs.trackers.portrait import PortraitMemory, PortraitSettings, PortraitTracker, histogram, mattes
from univs.trackers.tracker import Clip, Frame, Question, Span


def video(frames: int, height: int = 40, width: int = 70, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width + frames, 3), dtype=np.uint8)
    return [picture[:, step : step + width] for step in range(frames)]


def by_hand(model: PortraitNet, frames: list[np.ndarray]) -> list[np.ndarray]:
    """Frames of 40 x 70 padded to 64 x 96 by hand, one after the other."""
    before, answers = torch.zeros(1, 1, 64, 96), []
    for frame in frames:
        padded = torch.full((1, 3, 64, 96), 127.0)
        padded[0, :, :40, :70] = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
        with torch.inference_mode():
            found = model(padded, before).sigmoid()
        answers.append(found[0, 0, :40, :70].numpy())
        before = torch.zeros(1, 1, 64, 96)
        before[..., :40, :70] = found[..., :40, :70]
    return answers


def test_the_mask_goes_back_in_soft_and_without_the_padding() -> None:
    model, frames = net(), video(3)
    memory = PortraitMemory(model, Geometry.fit(40, 70))
    said = [memory.answer(frame) for frame in frames]
    for mine, theirs in zip(said, by_hand(model, frames), strict=True):
        assert mine.dtype == np.float32 and np.abs(mine - theirs).max() < 1e-6
    fresh = PortraitMemory(model, Geometry.fit(40, 70)).answer(frames[2])
    assert np.abs(fresh - said[2]).max() > 1e-4, "the frame before matters"


def test_log_odds_of_the_resized_frame_are_enlarged() -> None:
    model, frames = net(), video(2)  # 40 x 70 -> 50 x 88 -> padded 64 x 96
    memory, before = PortraitMemory(model, Geometry.fit(40, 70, 50)), torch.zeros(1, 1, 64, 96)
    for frame in frames:
        image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
        small = F.interpolate(image, size=(50, 88), mode="bilinear", align_corners=False, antialias=True)
        padded = model.pixel_mean.expand(3, 64, 96)[None].clone()
        padded[..., :50, :88] = small
        with torch.inference_mode():
            logits = model(padded, before)[..., :50, :88]
        want = F.interpolate(logits, size=(40, 70), mode="bilinear", align_corners=False).sigmoid()[0, 0].numpy()
        assert np.abs(memory.answer(frame) - want).max() < 1e-5
        before = torch.zeros(1, 1, 64, 96)
        before[..., :50, :88] = logits.sigmoid()


def test_each_frame_is_compared_with_the_one_before() -> None:
    model, frames = net(), video(1)
    bright = [np.minimum(frames[0].astype(int) + step, 255).astype(np.uint8) for step in (0, 50, 100, 150)]
    gaps = [PortraitSettings().cut - apart(bright[0], one) for one in bright[1:]]
    assert gaps[0] > 0 > gaps[-1], "step by step no cut, at once one"
    memory = PortraitMemory(model, Geometry.fit(40, 70))
    said = [memory.answer(frame) for frame in bright]
    assert not np.array_equal(said[-1], PortraitMemory(model, Geometry.fit(40, 70)).answer(bright[-1]))


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Half the distance of the histograms of two frames."""
    tables = [
        np.stack([np.histogram(frame[..., c], 16, (0, 256))[0] for c in range(3)]) / (3 * frame[..., 0].size)
        for frame in (first, second)
    ]
    return float(np.abs(tables[0] - tables[1]).sum() / 2)


def test_a_cut_is_more_than_the_distance_that_is_set() -> None:
    model, frames = net(), video(1)
    other = frames[0] // 4 * 3
    distance = apart(frames[0], other)
    fresh = PortraitMemory(model, Geometry.fit(40, 70)).answer(other)
    for cut, forgets in ((distance - 0.01, True), (distance + 0.01, False)):
        memory = PortraitMemory(model, Geometry.fit(40, 70), cut)
        memory.answer(frames[0])
        assert np.array_equal(memory.answer(other), fresh) == forgets


def test_after_a_cut_the_mask_of_before_is_forgotten() -> None:
    model, frames = net(), video(2)
    dark = (frames[0] // 8).astype(np.uint8)
    fresh = PortraitMemory(model, Geometry.fit(40, 70)).answer(dark)
    for cut, forgets in ((0.5, True), (1.0, False)):
        memory = PortraitMemory(model, Geometry.fit(40, 70), cut)
        memory.answer(frames[0])
        assert np.array_equal(memory.answer(dark), fresh) == forgets


def test_colours_are_shares_of_a_third_each() -> None:
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    image[0, 0] = torch.tensor([[0, 15], [16, 255]])
    found = histogram(image).reshape(3, 16)
    assert found[0, :2].tolist() == pytest.approx([1 / 6, 1 / 12]) and float(found[0, 15]) == pytest.approx(1 / 12)
    assert found[1:, 0].tolist() == pytest.approx([1 / 3, 1 / 3]) and float(found.sum()) == pytest.approx(1)


def test_the_loop_finds_people_without_a_prompt() -> None:
    model, frames = net(), video(3)
    results = list(univs.segment(model, frames, {}, task="zero_shot", size=0))
    expected = by_hand(model.ready("float32", False), frames)
    for result, found in zip(results, expected, strict=True):
        unsure = np.abs(found - 0.5) < 1e-4
        assert ((result.labels == (found > 0.5)) | unsure).all()
        assert result.object_ids == (1,) and result.names == {1: "person"}
        inside = found[found > 0.5]
        assert result.scores[1] == pytest.approx(float(inside.mean()) if len(inside) else 0, abs=1e-3)
    with pytest.raises(univs.UserError, match="takes no Box"):
        list(univs.segment(model, frames, {0: [Box(1, (0, 0, 9, 9))]}, task="zero_shot"))
    with pytest.raises(univs.UserError):
        list(univs.segment(model, frames, {0: [Box(1, (0, 0, 9, 9))]}, task="vos"))


def test_people_may_be_removed() -> None:
    tracker = PortraitTracker(net(), Question(Geometry.fit(40, 70)), PortraitSettings())
    with pytest.raises(KeyError):
        tracker.remove(2)
    tracker.remove(1)
    assert tracker.object_ids == () and tracker.finish() == []
    with pytest.raises(KeyError):
        tracker.remove(1)


def test_mattes_have_the_size_of_the_frames() -> None:
    model, frames = net(), video(2)
    small = list(mattes(model, frames, size=20))
    own = list(mattes(model, frames))  # 160 brought along
    assert [matte.shape for matte in (*small, *own)] == [(40, 70)] * 4
    assert not np.allclose(small[0], own[0], atol=1e-3)
    assert list(mattes(model, [])) == []
    (tiny,) = mattes(model, [frames[0][:8]])  # enlarged fourfold, not twentyfold
    want = PortraitMemory(model, Geometry.fit(8, 70, 32)).answer(frames[0][:8])
    assert tiny == pytest.approx(want, abs=1e-4)


def test_settings_reach_the_memory_and_nobody_is_looked_for_who_was_removed() -> None:
    frame = video(1)[0]
    clip = Clip(Span(0, 1, 1), (Frame(0, frame),), {})
    question = Question(Geometry.fit(40, 70))
    assert PortraitTracker(net(), question, PortraitSettings(cut=0.25)).memory.cut == 0.25
    found = PortraitMemory(net(), Geometry.fit(40, 70)).answer(frame)
    for threshold in (0.2, 0.7, float(found.max())):
        (result,) = PortraitTracker(net(), question, PortraitSettings(threshold=threshold)).answer(clip)
        mask = found > threshold
        assert np.array_equal(result.labels, mask.astype(np.uint8))
        assert result.scores == {1: pytest.approx(float(found[mask].mean()) if mask.any() else 0.0)}
    tracker = PortraitTracker(net(), question, PortraitSettings())
    tracker.remove(1)
    (nothing,) = tracker.answer(clip)
    assert nothing.object_ids == () and not nothing.labels.any()
