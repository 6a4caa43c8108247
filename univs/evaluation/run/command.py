"""`univs evaluate`: from the name of a data set to what runs a model over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from univs.configuration import compose
from univs.settings import make

HOME = "univs.evaluation.run"
RUNNERS = {
    "davis2016": "video_folders:evaluate",
    "davis_folder": "video_folders:evaluate",
    "synth": "synth_world:evaluate",
    "labelled": "labelled_images:evaluate",
    "first_masks": "first_masks:evaluate",
    "all": "runner:evaluate_all",
}
"""Data set -> module and function that takes its settings; all others are public sets."""
PUBLIC = "runner:evaluate"


def main(overrides: Sequence[str]) -> None:
    """`univs evaluate`: Hydra overrides of configs/evaluate.yaml. Raises UserError for whatever is wrong with them."""
    settings = compose("evaluate", overrides)
    module, _, function = RUNNERS.get(settings["dataset"], PUBLIC).partition(":")
    chosen: Callable[..., object] = getattr(import_module(f"{HOME}.{module}"), function)
    make(chosen, settings)
