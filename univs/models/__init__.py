"""The model: image encoder, prompt encoder, mask decoder; its options and its weights.

Imported when first used, since where weights lie (`univs.models.weights_path`) is checked before torch is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from univs.models.features import DecodeRequest as DecodeRequest
    from univs.models.features import ImageFeatures as ImageFeatures
    from univs.models.features import Prediction as Prediction
    from univs.models.features import PromptQueries as PromptQueries
    from univs.models.features import PromptTokens as PromptTokens
    from univs.models.features import TextFeatures as TextFeatures
    from univs.models.univs import UniVS as UniVS
    from univs.models.zoo import build_model as build_model

_HOMES = {
    "DecodeRequest": "features",
    "ImageFeatures": "features",
    "Prediction": "features",
    "PromptQueries": "features",
    "PromptTokens": "features",
    "TextFeatures": "features",
    "UniVS": "univs",
    "build_model": "zoo",
}

__all__ = [*_HOMES]  # noqa: PLE0604 (names are strings)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'univs.models' has no attribute {name!r}")
    return getattr(import_module(f"univs.models.{_HOMES[name]}"), name)
