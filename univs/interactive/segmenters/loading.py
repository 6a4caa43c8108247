"""From the name or file of weights to a segmenter."""

from __future__ import annotations

from univs.interactive.segmenters.clicks import ClickSegmenter
from univs.interactive.segmenters.prompts import PromptSegmenter
from univs.interactive.segmenters.scribbles import ScribbleSegmenter
from univs.interactive.segmenters.segmenter import Segmenter
from univs.models.fbrs import ClickNetwork
from univs.models.segmenter_files import is_segmenter, load_segmenter


def segmenter_of(weights: str, device: str = "cpu", size: int | None = None) -> Segmenter:
    """What these weights are for: scribbles (S2M), clicks (f-BRS), or all kinds (UniVS).

    size: short side in pixels at which a UniVS looks, and the network of scribbles at larger frames; f-BRS zooms by
    itself. Raises UserError for weights that are not there or of another kind of model.
    """
    if is_segmenter(weights):
        network = load_segmenter(weights, device)
        return ClickSegmenter(network) if isinstance(network, ClickNetwork) else ScribbleSegmenter(network, size)
    from univs.models.zoo import load_univs

    return PromptSegmenter(load_univs(weights, device), size)
