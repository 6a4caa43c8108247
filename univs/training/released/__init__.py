"""Training as UniVS was trained: prompts drawn from labelled clips, and the losses of all their queries."""

from univs.training.released.long_video import LongVideoStep
from univs.training.released.settings import ReleasedSettings
from univs.training.released.step import ReleasedStep
from univs.training.released.targets import LabelledClip

__all__ = ["LabelledClip", "LongVideoStep", "ReleasedSettings", "ReleasedStep"]
