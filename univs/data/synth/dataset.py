"""SynthVS as a map-style data set: clip i of a split at a seed is the same bytes on every machine and worker."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np

from univs.data.synth.background import UNKNOWN
from univs.data.synth.dice import Dice
from univs.data.synth.expressions import Expressions
from univs.data.synth.look import Wardrobe
from univs.data.synth.photos import PhotoFolder
from univs.data.synth.scene import FIRST_STUFF, Scene
from univs.data.synth.sprites import sprites_of
from univs.data.synth.stuff import STUFF
from univs.errors import UserError
from univs.formats.sample import VideoSample

SPLITS = ("train", "val", "test")


class SynthVS:
    """Clips of the built-in world, made when asked for: nothing is downloaded, nothing is stored.

    split: train, val or test; their clips never share a random stream, and a tenth of the nouns never occurs in train.
    size: height and width of the frames. num_frames: frames of a clip; a longer clip begins as the shorter one does.
    seed: another world, 0..2^32-1. difficulty: 0..1 scales the number of things, look-alikes, speed, change of size,
    bending, camera, blur, light and noise. photos: a folder of photos (see `PhotoFolder`) used for backgrounds and most
    things; such clips are not `complete` (a photo shows unlabelled things) and only sprites have a category.
    Raises UserError for values outside these.
    """

    def __init__(
        self,
        split: str = "train",
        size: tuple[int, int] = (240, 427),
        num_frames: int = 8,
        seed: int = 0,
        difficulty: float = 0.5,
        photos: str | Path | None = None,
        length: int = 10_000,
    ) -> None:
        if split not in SPLITS:
            raise UserError(f"SynthVS has no split {split!r}; it has {', '.join(SPLITS)}")
        if min(size) < 32 or max(size) > 4096:
            raise UserError(f"SynthVS frames of {size[0]}x{size[1]} pixels; sides must be in 32..4096")
        if num_frames < 1 or length < 1:
            raise UserError(f"SynthVS needs at least one frame and one clip, not {num_frames} and {length}")
        if not 0 <= difficulty <= 1:
            raise UserError(f"SynthVS difficulty {difficulty:g} is outside 0..1")
        if not 0 <= seed < 1 << 32 or length > 1 << 32:
            raise UserError(f"SynthVS seed {seed} or length {length} is outside 0..2^32")
        self.split, self.size, self.num_frames, self.seed = split, (int(size[0]), int(size[1])), num_frames, seed
        self.difficulty, self.length = float(difficulty), length
        self._wardrobe = Wardrobe(sprites_of(split), PhotoFolder(photos) if photos is not None else None)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> VideoSample:
        """Clip `index`; objects 1.. are the things that are seen at least once. IndexError from `length` on.

        Everything about it is known, save that of photos: `panoptic` covers every pixel (255 on a photo), and there are
        expressions unless photos are used.
        """
        scene = self.scene(index)
        frames = np.empty((self.num_frames, *self.size, 3), np.uint8)
        labels = np.empty((self.num_frames, *self.size), np.uint8)
        panoptic = np.empty_like(labels)
        for t in range(self.num_frames):
            frames[t], labels[t] = scene.compose(t)
            panoptic[t] = scene.panoptic(t, labels[t])
        seen = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256))
        nouns = {thing.number: thing.look.noun for thing in scene.things}
        categories = {int(i): noun for i in seen if i and (noun := nouns[int(i)])}
        name = self.name_of(index)
        complete = self._wardrobe.photos is None
        count = np.bincount(panoptic.reshape(-1), minlength=256)[FIRST_STUFF:UNKNOWN]
        return VideoSample(
            frames,
            labels,
            categories,
            complete=complete,
            name=name,
            panoptic=panoptic,
            stuff={FIRST_STUFF + int(number): STUFF[int(number)].name for number in np.flatnonzero(count)},
            expressions=Expressions(scene, labels) if complete else {},
        )

    def name_of(self, index: int) -> str:
        """What clip `index` is called."""
        return f"synth-{self.split}-{self.seed}-{operator.index(index) % self.length:05d}"

    def scene(self, index: int) -> Scene:
        """Clip `index` before it is drawn: its things, how they look and move, the background and its stuff."""
        index = operator.index(index)
        if not -self.length <= index < self.length:
            raise IndexError(f"clip {index} of {self.length}")
        dice = Dice(1 + SPLITS.index(self.split), self.seed, index % self.length)
        return Scene(dice, self.size, self.num_frames, self.difficulty, self._wardrobe)
