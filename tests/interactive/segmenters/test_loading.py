"""Which segmenter weights make, and how large it looks at frames."""

from __future__ import annotations

import pytest

from univs.interactive.segmenters import PromptSegmenter, ScribbleSegmenter, loading, segmenter_of
from univs.models import zoo


@pytest.mark.parametrize("size", [None, 240])
def test_it_looks_at_frames_as_large_as_asked(size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    network = object()
    monkeypatch.setattr(loading, "is_segmenter", lambda weights: weights == "scribbles")
    monkeypatch.setattr(loading, "load_segmenter", lambda weights, device: network)
    monkeypatch.setattr(zoo, "load_univs", lambda weights, device: network)
    scribbles, prompts = segmenter_of("scribbles", "cpu", size), segmenter_of("tiny", "cpu", size)
    assert isinstance(scribbles, ScribbleSegmenter) and isinstance(prompts, PromptSegmenter)
    assert (scribbles.network, scribbles.size) == (prompts.model, prompts.size) == (network, size)
