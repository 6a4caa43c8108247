"""The clip that `univs demo` shows: four things, each given by another kind of prompt."""

from __future__ import annotations

from univs.data.synth.dataset import SynthVS
from univs.data.synth.dice import Dice
from univs.data.synth.prompting import PromptKind, draw_prompt
from univs.formats.sample import VideoSample
from univs.prompts import Prompt

SEED, CLIP, FRAMES, DIFFICULTY = 8, 791, 40, 0.4
ASKED: tuple[tuple[int, int, PromptKind], ...] = (  # frame, object, kind
    (0, 1, "mask"),
    (0, 2, "box"),
    (0, 4, "scribble"),
    (6, 3, "points"),
)


def demo_clip() -> tuple[VideoSample, dict[int, list[Prompt]]]:
    """A clip of the test split (40 frames of 240x427, four objects) and the prompts to give, by frame.

    Two of the objects look alike, one of these begins half hidden and is asked for only on frame 6. The prompts are in
    the form that `univs.segment` takes; the sample's labels are the truth to score against.
    """
    sample = SynthVS("test", num_frames=FRAMES, seed=SEED, difficulty=DIFFICULTY)[CLIP]
    prompts: dict[int, list[Prompt]] = {}
    for frame, object_id, kind in ASKED:
        prompt = draw_prompt(kind, sample.labels[frame], object_id, Dice(SEED, CLIP, object_id))
        prompts.setdefault(frame, []).append(prompt)
    return sample, prompts
