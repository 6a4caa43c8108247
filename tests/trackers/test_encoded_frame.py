"""Frames that are encoded once, and what of them is kept."""

from __future__ import annotations

import pytest
import torch

from tests.trackers.scripted import ScriptedModel, picture
from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.trackers.encoded_frame import EncodedFrame, Encoder
from univs.trackers.tracker import Clip, Frame, Span


def clip_of(start: int, length: int) -> Clip[Frame]:
    indices = range(start, start + length)
    return Clip(
        Span(start, start + length, start + 1), [Frame(i, picture(i, {1: (8, 8, 24, 24)})) for i in indices], {}
    )


def test_a_frame_that_clips_share_is_encoded_once_and_then_forgotten() -> None:
    encoder = Encoder(ScriptedModel(), Geometry.fit(64, 96))
    first, second = encoder(clip_of(0, 3)), encoder(clip_of(1, 3))
    assert [frame.index for frame in second.frames] == [1, 2, 3] and second.span == Span(1, 4, 2)
    assert first.frames[1:] == second.frames[:2]
    assert encoder(clip_of(0, 3)).frames[0] is not first.frames[0]


@pytest.mark.parametrize("dense", [True, False])
def test_features_are_of_the_padded_input_and_the_pyramid_is_for_the_dense_memory(dense: bool) -> None:
    model, geometry = ScriptedModel(dense=dense), Geometry.fit(64, 96, 32, 160)
    frame = EncodedFrame(Frame(3, picture(3, {1: (0, 0, 64, 48)})), model, geometry)
    assert frame.features.mask_features.shape[2:] == (40, 40)
    seen = frame.features.mask_features[0, 0]
    assert torch.equal(seen[:8, :6], torch.ones(8, 6)) and seen.sum() == 48
    assert set(frame.features.pyramid) == ({4, 8, 16} if dense else set()) and (frame.key is None) != dense


def test_the_word_head_reads_a_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = ScriptedModel(words=True), []
    monkeypatch.setattr(model.word_head, "forward", lambda features: read.append(features) or object())
    frame = EncodedFrame(Frame(0, picture(0, {})), model, Geometry.fit(64, 96))
    assert not read
    assert frame.cells is frame.cells and len(read) == 1 and read[0] is frame.features
    with pytest.raises(UserError, match="no word head"):
        _ = EncodedFrame(Frame(0, picture(0, {})), ScriptedModel(), Geometry.fit(64, 96)).cells
