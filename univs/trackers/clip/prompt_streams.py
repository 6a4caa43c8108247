"""How the objects of a clip are asked for: by the masks that they had, or by words alone.

Shapes: N objects, T frames of the clip, R prompt tokens, C channels, H' W' padded input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.models.features import PromptQueries, TextFeatures
from univs.models.text_encoder import TextEncoder, clean_text
from univs.models.univs import UniVS
from univs.trackers.classes import text_encoder_of
from univs.trackers.clip.memory import NOT_YET, ClipMemory
from univs.trackers.encoded_frame import EncodedClip
from univs.trackers.object_prompts import ObjectPrompt, says_something
from univs.trackers.prompt_encoding import encode_prompts, given_masks


class PromptStream(Protocol):
    """Makes the prompt queries of the objects that a tracker knows, one row for each."""

    def add(self) -> None:
        """One more object, in the row behind those that exist; it may appear later."""
        ...

    def check(self, prompt: ObjectPrompt) -> None:
        """UserError for what cannot be used here."""
        ...

    def take_in(self, row: int, frame_index: int, prompt: ObjectPrompt) -> None:
        """Something that `check` lets pass was said about an object on a frame of the coming clip."""
        ...

    def remove(self, row: int) -> None:
        """Forget a row; the rows behind it move up."""
        ...

    def queries(self, clip: EncodedClip, masks: Mapping[int, Tensor]) -> PromptQueries:
        """The prompt stream of a clip; masks: frame index -> N H' W' bool, of the clip's frames and those before it."""
        ...

    def answered(self, clip: EncodedClip, masks: Mapping[int, Tensor]) -> None:
        """The clip is answered, with these masks."""
        ...


class VisualStream:
    """By the tokens of the masks: those given, then those predicted; and of other visual prompts on their own frame."""

    def __init__(self, model: UniVS, geometry: Geometry, memory: ClipMemory) -> None:
        self._model, self._geometry, self._memory = model, geometry, memory
        self._appeared: list[bool] = []
        self._waiting: list[tuple[int, int, ObjectPrompt]] = []  # row, frame, what is no mask alone

    def add(self) -> None:
        self._memory.add([NOT_YET])
        self._appeared.append(False)

    def check(self, prompt: ObjectPrompt) -> None:
        if prompt.texts:
            raise UserError("objects that are followed by their masks take no words; use the task refvos")

    def take_in(self, row: int, frame_index: int, prompt: ObjectPrompt) -> None:
        if not self._appeared[row]:
            self._memory.appear(row, frame_index)
            self._appeared[row] = True
        if prompt.points or prompt.boxes or prompt.scribbles:
            self._waiting.append((row, frame_index, prompt))

    def remove(self, row: int) -> None:
        self._memory.remove(row)
        del self._appeared[row]

    def queries(self, clip: EncodedClip, masks: Mapping[int, Tensor]) -> PromptQueries:
        self._memory.enter(self._model, clip, masks)
        for row, index, prompt in self._waiting:
            said, features = {row: prompt}, clip.frame(index).features
            given = given_masks(said, self._geometry, features.mask_features.device)
            tokens = encode_prompts(self._model, features, self._geometry, said, given, index)
            self._memory.pin(row, index, tokens[row])
        self._waiting = []
        return self._memory.queries(self._model, clip)

    def answered(self, clip: EncodedClip, masks: Mapping[int, Tensor]) -> None:
        self._memory.leave(self._model, clip, masks)


class TextStream:
    """By words alone, on every clip. What a frame makes of an expression is found once.

    Args:
        model: takes words.
        encoder: of the texts; None: the one that the model was trained with.
        clean: whether expressions are cleaned as in the released training (`clean_text`).
    """

    def __init__(self, model: UniVS, encoder: TextEncoder | None = None, *, clean: bool = True) -> None:
        self._model, self._encoder, self._clean = model, encoder, clean
        self._texts: list[TextFeatures | None] = []
        self._frames: dict[int, PromptQueries] = {}  # frame index -> what it makes of the texts

    def add(self) -> None:
        self._texts.append(None)

    def check(self, prompt: ObjectPrompt) -> None:
        if not prompt.texts or says_something(prompt):
            raise UserError("clip by clip an expression is followed by its words alone; give words only")
        self._load()

    def take_in(self, row: int, frame_index: int, prompt: ObjectPrompt) -> None:
        text = prompt.texts[-1]
        features = self._load().encode([clean_text(text) if self._clean else text])
        self._texts[row] = features.to(self._model.pixel_mean.device)
        self._frames.clear()

    def remove(self, row: int) -> None:
        del self._texts[row]
        self._frames.clear()

    def queries(self, clip: EncodedClip, masks: Mapping[int, Tensor]) -> PromptQueries:
        texts = TextFeatures.cat([text for text in self._texts if text is not None])
        self._frames = {index: asked for index, asked in self._frames.items() if index in clip.indices}
        for frame in clip.frames:
            if frame.index not in self._frames:
                self._frames[frame.index] = self._model.text_prompts(frame.features, texts)
        return PromptQueries.over_time([self._frames[index] for index in clip.indices])

    def answered(self, clip: EncodedClip, masks: Mapping[int, Tensor]) -> None:
        """Nothing: masks are no prompts here."""

    def _load(self) -> TextEncoder:
        if self._encoder is None:
            self._encoder = text_encoder_of(self._model)
        return self._encoder
