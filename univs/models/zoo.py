"""Models from plain numbers, and their weights files.

A weights file of ours is safetensors with the numbers of its model as JSON in the metadata entry `univs_config`; the
model is built from them by one function, and no class path is ever read out of a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from univs.errors import UserError
from univs.models.backbone import Backbone
from univs.models.mask_decoder import MaskDecoder
from univs.models.pixel_decoder import DeformablePixelDecoder, LightPixelDecoder
from univs.models.univs import UniVS
from univs.models.visual_sampler import VisualSampler

PIXEL_DECODERS = {"light_fpn": LightPixelDecoder, "deformable": DeformablePixelDecoder}


def build_model(config: Mapping[str, Any]) -> UniVS:
    """A model with initial weights from plain numbers (the keys of configs/model/*.yaml); downloads nothing.

    Raises UserError for missing, unknown or impossible numbers.
    """
    try:
        return _build(config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        name = config.get("name", "without a name") if isinstance(config, Mapping) else config
        what = f"missing entry {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise UserError(f"cannot build the model {name}: {what}; see configs/model/*.yaml") from error


def _build(config: Mapping[str, Any]) -> UniVS:
    backbone = Backbone(**config["backbone"])
    pixel_options = dict(config["pixel_decoder"])
    kind = pixel_options.pop("kind")
    if kind not in PIXEL_DECODERS:
        raise ValueError(f"unknown pixel decoder {kind!r}: one of {', '.join(PIXEL_DECODERS)}")
    pixel_decoder = PIXEL_DECODERS[kind](backbone.channels, **pixel_options)
    mask_decoder = MaskDecoder(**config["mask_decoder"])
    dense_memory = None
    if config["dense_memory"]:
        from univs.models.dense_memory import DenseMemory

        dense_memory = DenseMemory(
            pyramid_channels=pixel_decoder.pyramid_channels,
            mask_dim=pixel_options["mask_dim"],
            **config["dense_memory"],
        )
    return UniVS(
        backbone,
        pixel_decoder,
        VisualSampler(mask_decoder.dim, **config["visual_sampler"]),
        mask_decoder,
        dense_memory,
        pixel_mean=config["pixel_mean"],
        pixel_std=config["pixel_std"],
        config=config,
    )
