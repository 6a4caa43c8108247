"""People found frame by frame: what goes back in, cuts, sizes, and that the loop plays along."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import univs
from tests.models.test_portrait import net
from univs.masks.geometry import Geometry
from univs.models.portrait import PortraitNet
from univs.prompts import Box
from univs.trackers.portrait import PortraitMemory, PortraitSettings, PortraitTracker, histogram, mattes
from univs.trackers.tracker import Question


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
