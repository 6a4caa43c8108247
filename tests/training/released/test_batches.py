"""From batches of the data loader to the clips and questions of a step, and to losses by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.data.set_clips import SetClip, collate_set_clips
from univs.losses.clip_criterion import TERMS
from univs.models.features import TextFeatures
from univs.models.univs import UniVS
from univs.training.released import LabelledClip, LongVideoStep, ReleasedSettings, ReleasedStep
from univs.training.released.batches import BETWEEN_CLIPS, BatchStep

NAMES = (("cat", "dog", "tree"), (), ("sky",))


class Texts:
    """A text encoder that keeps what it was asked."""

    dim = 4

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        self.asked.append(list(texts))
        words = torch.ones(len(texts), 2, 4)
        return TextFeatures(words, torch.ones(len(texts), 2, dtype=torch.bool), words[:, 0])

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        return torch.full((len(names), 4), float(len(names)))


def set_clip(seed: int, source: int, question: Any, **told: Any) -> SetClip:
    """Three frames with objects 5 and 2, in this order."""
    rng = np.random.default_rng(seed)
    segments = rng.choice(np.array([0, 2, 5, 255], np.uint8), (3, 8, 8))
    frames = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    return SetClip(
        **{
            **{"frames": frames, "segments": segments, "frame_indices": (3 + seed, 7, 9), "ids": (5, 2)},
            **{"classes": None, "expressions": None, "source": source, "question": question, **told},
        }
    )


def test_clips_have_the_masks_of_their_ids_and_their_texts_in_plain_letters(small_official_model: UniVS) -> None:
    encoder = Texts()
    step = BatchStep(ReleasedStep(small_official_model, ReleasedSettings()), encoder, NAMES)
    said = [("The Left Dog", "a cat,"), ("It", "who runs")]
    given = [set_clip(n, 1, "expressions", expressions=said[n]) for n in (0, 1)]
    found = step.clips(collate_set_clips(given))
    for clip, one in zip(found, given, strict=True):
        assert torch.equal(clip.masks, torch.stack([torch.from_numpy(one.segments == number) for number in (5, 2)]))
        assert torch.equal(clip.frames, torch.from_numpy(one.frames).permute(0, 3, 1, 2))
        assert clip.ids.tolist() == [5, 2] and clip.labels is None and tuple(clip.frame_indices) == one.frame_indices
        assert clip.expressions is not None and clip.expressions.words.shape == (2, 2, 4)
    assert encoder.asked == [["the left dog", "a cat"], ["it", "who runs"]]
    (named,) = step.clips(collate_set_clips([set_clip(0, 0, "categories", classes=(2, 0))]))
    assert named.labels is not None and named.labels.tolist() == [2, 0] and named.expressions is None


def test_a_batch_is_asked_with_the_names_of_its_own_source(
    small_official_model: UniVS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its clips at once; losses are summed over the predictions, and what a batch has nothing for is 0."""
    asked: list[Any] = []

    def call(self: ReleasedStep, clips: Any, question: str, embeddings: Any, draws: Any) -> dict[str, Tensor]:
        asked.append((len(clips), question, None if embeddings is None else embeddings.tolist()))
        return {"mask": torch.tensor([1.0, 2.5]), "class": torch.tensor([4.0, 0.0])}

    monkeypatch.setattr(ReleasedStep, "__call__", call)
    step = BatchStep(ReleasedStep(small_official_model, ReleasedSettings()), Texts(), NAMES)
    for source, question in ((0, "categories"), (2, "shown"), (1, "shown"), (0, "expressions")):
        told: dict[str, Any] = {"classes": (0, 0)} if NAMES[source] else {}
        if question == "expressions":
            told["expressions"] = ("one", "two")
        found = step(collate_set_clips([set_clip(n, source, question, **told) for n in (0, 1)]), 1.0)
        assert set(found) == set(TERMS) and {name for name, value in found.items() if value} == {"mask", "class"}
        assert float(found["mask"]) == 3.5 and float(found["class"]) == 4
    assert asked == [(2, "categories", [[3.0] * 4] * 3), (2, "shown", [[1.0] * 4]), (2, "shown", None)] + [
        (2, "expressions", None)
    ]


def test_losses_of_long_videos_are_means_over_the_videos(
    small_official_model: UniVS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other; a video that has nothing for a loss counts with 0."""
    said = iter([{"mask": torch.tensor([1.0, 2.0]), "reid_interclip": torch.tensor([6.0])}, {"mask": torch.ones(1)}])
    seen: list[LabelledClip] = []

    def call(self: LongVideoStep, video: LabelledClip, *given: Any) -> dict[str, Tensor]:
        seen.append(video)
        return next(said)

    monkeypatch.setattr(LongVideoStep, "__call__", call)
    step = BatchStep(LongVideoStep(small_official_model, ReleasedSettings(), 2), None, NAMES)
    found = step(collate_set_clips([set_clip(n, 1, "shown") for n in (0, 1)]), 1.0)
    assert set(found) == {*TERMS, *BETWEEN_CLIPS} and [video.frame_indices[0] for video in seen] == [3, 4]
    assert {name: float(value) for name, value in found.items() if value} == {"mask": 2.0, "reid_interclip": 3.0}
