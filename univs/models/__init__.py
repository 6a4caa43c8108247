"""The model: image encoder, prompt encoder, mask decoder; its options and its weights."""

from __future__ import annotations

from univs.models.features import ImageFeatures, Prediction, PromptQueries, PromptTokens, TextFeatures
from univs.models.univs import UniVS
from univs.models.zoo import build_model

__all__ = ["ImageFeatures", "Prediction", "PromptQueries", "PromptTokens", "TextFeatures", "UniVS", "build_model"]
