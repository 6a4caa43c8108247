"""An interactive session on disk: every finished mask and frame is there as soon as it is made.

    workspace.json          what was done (`history`), and of which video
    masks/00007.npz         a mask that somebody made: label map of the frame's size, the objects known then, and clicks
    rounds/0003/00012.npz   a frame of a propagation: probabilities of its objects at the network's input, in 16 bits

Files are numbered and never change. All appear whole or not at all, workspace.json after what it names; so a workspace
of a killed process opens with all that was finished. Memory does not grow with the video.
"""

from __future__ import annotations

import json
import re
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from univs.claim import claim_folder
from univs.errors import UserError
from univs.files import atomic_path
from univs.interactive.history import History, State
from univs.interactive.interactions import Click

VERSION = 1
NAME = "workspace.json"
LEVELS = np.float32(65535)
"""Probabilities are kept as whole numbers up to this: 2**-17 off at most."""
TEMPORARY = re.compile(r"\.(workspace|\d+)\.\d+\.tmp\.(json|npz)")
"""Names that `atomic_path` gives to our files; a killed process leaves them."""
DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive of arrays may raise."""


@dataclass(frozen=True)
class VideoFacts:
    """Of which video a workspace is: its name, its frames, and (height, width) of the frame and of the input."""

    name: str
    frames: int
    size: tuple[int, int]
    input_size: tuple[int, int]


Clicks = Mapping[int, tuple[Click, ...]]
"""Object id -> the clicks that its mask came of, the oldest first; nothing of one whose mask came of anything else."""


@dataclass(frozen=True)
class MadeMask:
    """H W object ids, 0 for none, the objects that were known when it was made, and clicks that it came of."""

    labels: NDArray[np.int32]
    known: tuple[int, ...]
    clicks: Clicks = field(default_factory=dict)


class Workspace:
    """The files of a session; a folder is of one session at a time.

    Args:
        folder: made if it is not there; an existing workspace is opened (`exists`).
        video: of a new workspace; of an existing one, what it must be of, None for whatever it is of.
    Raises UserError for a folder that holds something else, that another process works in, that a newer version wrote,
    that is damaged, and for another video.
    """

    def __init__(self, folder: Path, video: VideoFacts | None = None) -> None:
        self.folder = folder
        known = read_state(folder) if exists(folder) else None
        if known is None and folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise UserError(f"{folder} holds other files than a workspace; name another folder")
        found = video if known is None else known[0]
        if found is None:
            raise UserError(f"there is no workspace in {folder}")
        if video is not None and (video.frames, video.size) != (found.frames, found.size):
            raise UserError(
                f"the workspace {folder} is of {found.name}: {found.frames} frames of {found.size[1]}x{found.size[0]}, "
                f"not {video.frames} of {video.size[1]}x{video.size[0]}"
            )
        self.video, self.history = found, History() if known is None else known[1]
        self._open = ExitStack()
        self._open.enter_context(claim_folder(folder, "workspace="))
        try:
            for part in ("masks", "rounds"):
                (folder / part).mkdir(exist_ok=True)
            self._rounds = {number: _numbers(self._round(number)) for number in self.history.rounds()}
            self._next_mask = 1 + max((*_numbers(folder / "masks"), *self.history.masks()), default=0)
            self._next_round = 1 + max((*_numbers(folder / "rounds"), *self._rounds), default=0)
            for place in (folder, folder / "masks", *map(self._round, _numbers(folder / "rounds"))):
                for left in place.iterdir() if place.is_dir() else ():
                    if TEMPORARY.fullmatch(left.name) and left.is_file():
                        left.unlink()
            self.save()
            self._clean()
        except BaseException:
            self.close()
            raise

    def save(self) -> None:
        """Write what was done."""
        content = {
            "version": VERSION,
            "video": [self.video.name, self.video.frames, *self.video.size, *self.video.input_size],
            "position": self.history.position,
            "states": [state.to_json() for state in self.history.states],
        }
        with atomic_path(self.folder / NAME) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")

    def push(self, state: State) -> None:
        """A step was made."""
        self.history.push(state)
        self.save()
        self._clean()

    def add_mask(self, mask: MadeMask) -> int:
        """Write a mask that somebody made and return its number, which no other has had in this session."""
        number, self._next_mask = self._next_mask, self._next_mask + 1
        clicks = [(one, click.x, click.y, click.positive) for one, clicks in mask.clicks.items() for click in clicks]
        _write(
            self.folder / "masks" / f"{number:05}.npz",
            labels=mask.labels,
            known=np.array(mask.known, np.int64),
            clicks=np.array(clicks, np.float64).reshape(-1, 4),
        )
        return number

    def mask(self, number: int) -> MadeMask:
        """A mask by its number."""
        arrays = _read(self.folder / "masks" / f"{number:05}.npz", ("labels", "known"))
        clicks: dict[int, tuple[Click, ...]] = {}
        for one, x, y, positive in arrays.get("clicks", np.zeros((0, 4))).tolist():  # older files have none
            clicks[int(one)] = (*clicks.get(int(one), ()), Click(x, y, bool(positive)))
        return MadeMask(arrays["labels"], tuple(int(one) for one in arrays["known"]), clicks)

    def add_round(self) -> int:
        """Begin a round and return its number."""
        number, self._next_round = self._next_round, self._next_round + 1
        self._round(number).mkdir()
        self._rounds[number] = set()
        return number

    def add_frame(self, number: int, index: int, object_ids: Sequence[int], masks: NDArray[np.float32]) -> None:
        """Write what a round made of a frame: N H' W' probabilities of these objects."""
        levels = np.rint(np.clip(masks, 0, 1) * LEVELS).astype(np.uint16)
        _write(self._round(number) / f"{index:05}.npz", masks=levels, objects=np.array(object_ids, np.int64))
        self._rounds[number].add(index)

    def frame(self, state: State, index: int) -> dict[int, NDArray[np.float32]]:
        """Object id -> H' W' of a frame in the newest round of a state that has it; empty if none has."""
        for number in reversed(state.rounds):
            if index in self._rounds[number]:
                arrays = _read(self._round(number) / f"{index:05}.npz", ("masks", "objects"))
                masks, ids = arrays["masks"].astype(np.float32) / LEVELS, state.in_round(number)
                return {int(one): mask for one, mask in zip(arrays["objects"], masks, strict=True) if one in ids}
        return {}

    def close(self) -> None:
        """Let others work in the folder."""
        self._open.close()

    def _round(self, number: int) -> Path:
        return self.folder / "rounds" / f"{number:04}"

    def _clean(self) -> None:
        needed_masks, needed_rounds = self.history.masks(), self.history.rounds()
        for number in _numbers(self.folder / "masks") - needed_masks:
            (self.folder / "masks" / f"{number:05}.npz").unlink()
        for number in _numbers(self.folder / "rounds") - needed_rounds:
            shutil.rmtree(self._round(number))
            self._rounds.pop(number, None)


def exists(folder: Path) -> bool:
    """Whether there is a workspace in a folder."""
    return (folder / NAME).is_file()


def read_state(folder: Path) -> tuple[VideoFacts, History]:
    """What was done in a workspace. UserError, in one line, if a newer version wrote it or it is damaged."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        version = content["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / NAME} is damaged: {_line(error)}") from error
    if isinstance(version, int) and version > VERSION:
        raise UserError(f"the workspace {folder} has version {version}, this univs knows {VERSION}: get a newer univs")
    try:
        if version != VERSION:
            raise ValueError(f"version {version!r:.20}")
        name, frames, *sizes = content["video"]
        height, width, input_height, input_width = map(int, sizes)
        states = [State.from_json(state) for state in content["states"]]
        history = History(states, int(content["position"]))
        if not 0 <= history.position < len(states):
            raise ValueError(f"position {history.position} of {len(states)}")
        return VideoFacts(str(name), int(frames), (height, width), (input_height, input_width)), history
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{folder / NAME} is damaged: {_line(error)}") from error


def _numbers(folder: Path) -> set[int]:
    """What the files or folders in a folder are numbered."""
    if not folder.is_dir():
        return set()
    return {int(path.stem) for path in folder.iterdir() if path.stem.isdigit()}


def _write(path: Path, **arrays: NDArray[Any]) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def _read(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """All arrays of a file, which has those of these names at least. UserError for one that is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in {*names, *stored.files}}
    except DAMAGE as error:
        raise UserError(f"{path} is damaged: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
