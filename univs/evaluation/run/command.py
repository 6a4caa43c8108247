"""`univs evaluate`: from the name of a data set to what runs a model over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from univs.configuration import compose
from univs.settings import Text, check_value, make

HOME = "univs.evaluation.run"
RUNNERS = {
    "davis2016": "video_folders:evaluate",
    "davis_folder": "video_folders:evaluate",
    "synth": "synth_world:evaluate",
    "labelled": "labelled_images:evaluate",
    "first_masks": "first_masks:evaluate",
    "vot": "vot_sets:evaluate",
    "portraits": "portraits:evaluate",
    "davis17_interactive": "interactive_sets:evaluate",
    "davis2016_interactive": "interactive_sets:evaluate",
    "all": "runner:evaluate_all",
}
"""Data set -> module and function that takes its settings; all others are public sets."""
PUBLIC = "runner:evaluate"


def main(overrides: Sequence[str]) -> None:
    """`univs evaluate`: Hydra overrides of configs/evaluate.yaml. Raises UserError for whatever is wrong with them."""
    settings = compose("evaluate", overrides)
    module, _, function = RUNNERS.get(settings["dataset"], PUBLIC).partition(":")
    settings["weights"] = weights_of(settings.pop("model", None), settings["weights"])
    chosen: Callable[..., object] = getattr(import_module(f"{HOME}.{module}"), function)
    make(chosen, settings)


def weights_of(model: Mapping[str, Any] | None, weights: Any) -> Any:
    """What `model=`, here its numbers, and `weights=` say together; both may be left out.

    Raises UserError for weights of another model.
    """
    name = None if model is None else str(model.get("name"))
    if name is not None and weights is not None:
        from univs.models.zoo import check_model

        check_value("weights", weights, Text)
        check_model(weights, name)
    return weights if weights is not None else name or "tiny"
