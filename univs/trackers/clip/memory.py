"""Prompt tokens of objects followed by clips: a slot for each frame, bounded (UniVS, memory pool; official settings).

Of each object the slots of its first frame and of the last frames are kept. The query of a frame starts from that
frame's slot; all kept slots, those of the current clip among them, are what it attends to (ProCA).

Shapes: N objects (rows), S slots, R prompt tokens of one frame, C channels, H' W' padded input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from univs.models.features import PromptQueries, PromptTokens, fit_width
from univs.models.univs import UniVS
from univs.trackers.encoded_frame import EncodedClip, EncodedFrame

NOT_YET = -1
"""First frame of an object that has not appeared."""


InitialQuery = Literal["frame", "memory"]
MemoryEncoding = Literal["next_clip", "own_frame"]


class ClipMemory:
    """The tokens of all objects.

    Args:
        width: R.
        recent: how many of the last slots are kept; at least the frames of a clip.
        clip_length, clip_stride: of the loop.
        origin: frame of the first slot; None: the first frame whose masks may be prompts of the first clip entered.
        initial_query: from what the query of a frame starts: the tokens of its own slot ("frame", official), or of
            all that is kept ("memory").
        memory_encoding: for clips that do not overlap, with which frame's features a mask becomes tokens: with those of
            the frame at the same place in the next clip ("next_clip", official), or with its own ("own_frame").
            Overlapping clips always use the frame's own features, and do so again in each clip.
    """

    def __init__(
        self,
        width: int,
        recent: int,
        *,
        clip_length: int,
        clip_stride: int,
        origin: int | None = None,
        initial_query: InitialQuery = "frame",
        memory_encoding: MemoryEncoding = "next_clip",
    ) -> None:
        self.width, self.recent = width, max(recent, clip_length)
        self._length, self._stride = clip_length, clip_stride
        self._own_frame = memory_encoding == "own_frame"
        self._from_memory = initial_query == "memory"
        self._origin = origin
        self._slots = range(0)  # frame indices
        self._first_frames: list[int] = []  # per row
        self._pinned: list[set[int]] = []  # per row: frames whose tokens are those of a prompt
        self._recent: PromptTokens | None = None  # N S*R C
        self._first: PromptTokens | None = None  # N R C, of first frames that are no recent slot any more

    def add(self, first_frames: Sequence[int]) -> None:
        """Make room for objects, in the rows behind those that exist, that first appear on these frames."""
        self._first_frames += list(first_frames)
        self._pinned += [set() for _ in first_frames]
        if self._recent is not None and self._first is not None:
            self._recent, self._first = (_grown(t, len(first_frames)) for t in (self._recent, self._first))

    def appear(self, row: int, frame_index: int) -> None:
        """Set the first frame of an object that had not appeared."""
        self._first_frames[row] = frame_index

    def remove(self, row: int) -> None:
        """Forget a row; the rows behind it move up."""
        del self._first_frames[row], self._pinned[row]
        if self._recent is not None and self._first is not None:
            self._recent, self._first = (_without(t, row) for t in (self._recent, self._first))

    def enter(self, model: UniVS, clip: EncodedClip, masks: Mapping[int, Tensor]) -> None:
        """Make slots for a clip and fill them with what is known.

        Args:
            masks: frame index -> N H' W' masks (0 or 1) of all rows. Read are those of the clip's frames that were
                answered before (in the first clip: of frame 0, which is all that can be known there), and of the frames
                just before the clip where clips do not overlap or nothing was stored yet.
        """
        start, stop = clip.span.start, clip.span.stop
        nothing_stored = self._origin is None
        if self._origin is None:
            self._origin = max(0, start - self._stride)
        self._make_slots(model, range(max(self._origin, stop - self.recent), stop))
        apart = self._length == self._stride
        if start and apart and self._own_frame:
            self._carry_on(start)
        elif start and (apart or nothing_stored):
            for frame, index in zip(clip.frames, range(start - self._stride, start), strict=False):
                if (stored := masks.get(index)) is not None:
                    self._store(self._encode(model, frame, stored), index, index + 1)
        for index in range(start, start + self._length - self._stride) if start else (0,):
            if index < stop and (stored := masks.get(index)) is not None:
                self._store(self._encode(model, clip.frame(index), stored), index, stop)

    def leave(self, model: UniVS, clip: EncodedClip, masks: Mapping[int, Tensor]) -> None:
        """Take in the answers of a clip, where it overlaps no later one and masks are encoded on their own frames."""
        if self._own_frame and self._length == self._stride:
            for frame in clip.frames:
                self._store(self._encode(model, frame, masks[frame.index]), frame.index, None)

    def pin(self, row: int, frame_index: int, tokens: PromptTokens) -> None:
        """Store the tokens (1 R C) of a prompt; its frame, which has a slot, and those behind it use no other."""
        assert self._recent is not None
        self._pinned[row].add(frame_index)
        fitted = fit_width(tokens, self.width)
        self._write(self._recent, [row], fitted, self._span(frame_index, None))

    def queries(self, model: UniVS, clip: EncodedClip) -> PromptQueries:
        """The prompt stream of a clip that was entered."""
        assert self._recent is not None
        memory = PromptTokens.cat([self._first_tokens(), self._recent])
        slots = [_columns(self._recent, self._span(index, index + 1)) for index in clip.indices]
        return model.prompt_queries([memory], initial=[memory] * len(slots) if self._from_memory else slots)

    def _encode(self, model: UniVS, frame: EncodedFrame, masks: Tensor) -> PromptTokens:
        return model.encode_masks(frame.features, masks, frame.index, tokens=self.width)

    def _make_slots(self, model: UniVS, slots: range) -> None:
        """Go over to these slots: new ones are blank, of those that leave the first frames of objects are kept."""
        count, dim, device = len(self._first_frames), model.mask_decoder.dim, model.pixel_mean.device
        recent = _blank(count, len(slots) * self.width, dim, device)
        if self._recent is None or self._first is None:
            self._first = _blank(count, self.width, dim, device)
        else:
            for row, index in enumerate(self._first_frames):
                if index in self._slots and index < slots.start:
                    self._write(self._first, [row], _columns(self._recent, self._span(index, index + 1), row))
            kept = max(self._slots.start, slots.start)
            old = _columns(self._recent, slice((kept - self._slots.start) * self.width, None))
            begin = (kept - slots.start) * self.width
            self._write(recent, slice(None), old, slice(begin, begin + old.valid.shape[1]))
        self._recent, self._slots = recent, slots
        for frames, first in zip(self._pinned, self._first_frames, strict=True):
            frames.intersection_update({*slots, first})

    def _carry_on(self, start: int) -> None:
        """Let the slots from frame `start` on begin as copies of the one before."""
        assert self._recent is not None
        before = _columns(self._recent, self._span(start - 1, start))
        self._write(self._recent, slice(None), before, self._span(start, None))

    def _store(self, tokens: PromptTokens, index: int, stop: int | None) -> None:
        """Write the tokens of frame `index` (N R C) to the slots index..stop-1, for the objects that are on it.

        Of a frame before all recent slots only those objects keep tokens whose first frame it is.
        """
        if self._recent is None or self._first is None:
            return
        early = index < self._slots.start
        rows = [
            row
            for row, there in enumerate(tokens.valid.any(1).tolist())
            if there and index not in self._pinned[row] and (not early or self._first_frames[row] == index)
        ]
        if rows and early:
            self._write(self._first, rows, _rows(tokens, rows))
        elif rows and index in self._slots:
            self._write(self._recent, rows, _rows(tokens, rows), self._span(index, stop))

    def _first_tokens(self) -> PromptTokens:
        """N R C. An object that has not appeared, or only on the last frame, reads the last slot."""
        assert self._recent is not None and self._first is not None
        rows = []
        for row, index in enumerate(self._first_frames):
            place = self._slots[-1] if index == NOT_YET or index > self._slots[-1] else index
            kept = place in self._slots
            rows.append(
                _columns(self._recent, self._span(place, place + 1), row) if kept else _rows(self._first, [row])
            )
        return PromptTokens(
            torch.cat([t.features for t in rows]),
            torch.cat([t.positions for t in rows]),
            torch.cat([t.valid for t in rows]),
        )

    def _span(self, index: int, stop: int | None) -> slice:
        """Columns of the slots of frames index..stop-1 (None: to the last)."""
        begin = (index - self._slots.start) * self.width
        return slice(begin, None if stop is None else (stop - self._slots.start) * self.width)

    def _write(
        self, target: PromptTokens, rows: Sequence[int] | slice, source: PromptTokens, columns: slice | None = None
    ) -> None:
        """Fill columns of some rows, repeating the source as often as it fits."""
        columns = slice(None) if columns is None else columns
        length = len(range(target.valid.shape[1])[columns])
        times = length // source.valid.shape[1] if source.valid.shape[1] else 0
        target.features[rows, columns] = source.features.repeat(1, times, 1)
        target.positions[rows, columns] = source.positions.repeat(1, times, 1)
        target.valid[rows, columns] = source.valid.repeat(1, times)


def _blank(count: int, length: int, dim: int, device: torch.device) -> PromptTokens:
    features = torch.zeros(count, length, dim, device=device)
    valid = torch.zeros(count, length, dtype=torch.bool, device=device)
    return PromptTokens(features, torch.zeros_like(features), valid)


def _rows(tokens: PromptTokens, rows: Sequence[int]) -> PromptTokens:
    chosen = list(rows)
    return PromptTokens(tokens.features[chosen], tokens.positions[chosen], tokens.valid[chosen])


def _columns(tokens: PromptTokens, columns: slice, row: int | None = None) -> PromptTokens:
    """Some of the tokens, of all objects or of one."""
    rows = slice(None) if row is None else slice(row, row + 1)
    return PromptTokens(tokens.features[rows, columns], tokens.positions[rows, columns], tokens.valid[rows, columns])


def _grown(tokens: PromptTokens, more: int) -> PromptTokens:
    length, dim = tokens.features.shape[1:]
    blank = _blank(more, length, dim, tokens.features.device)
    return PromptTokens(
        torch.cat([tokens.features, blank.features]),
        torch.cat([tokens.positions, blank.positions]),
        torch.cat([tokens.valid, blank.valid]),
    )


def _without(tokens: PromptTokens, row: int) -> PromptTokens:
    return _rows(tokens, [index for index in range(len(tokens.valid)) if index != row])
