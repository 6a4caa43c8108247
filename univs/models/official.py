"""Official UniVS / Mask2Former parameter names -> ours, and the rows of the official class embeddings.

The published checkpoints are recognised by the names and shapes of their tensors; every tensor of theirs is either
ours, or named here as one that nothing reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from univs.errors import UserError

_BLOCK = r"backbone\.layers\.(\d)\.blocks\.(\d+)\."
_PIXELS = r"sem_seg_head\.pixel_decoder\."
_ENCODER = _PIXELS + r"transformer\.encoder\.layers\.(\d+)\."
_QUERIES = r"sem_seg_head\.predictor\."
_LOOK = _QUERIES + r"lang2vision_cross_attention_layer\."
_ATTENTION = r"\.(\d+)\.(?:self_attn|multihead_attn)\."

TABLE: tuple[tuple[str, str], ...] = (
    # ResNet of detectron2 -> timm
    (r"backbone\.stem\.conv1\.weight", r"backbone.body.conv1.weight"),
    (r"backbone\.stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    *(
        (rf"backbone\.res{stage + 1}\.(\d+)\.{theirs}", rf"backbone.body.layer{stage}.\1.{ours}")
        for stage in (1, 2, 3, 4)
        for theirs, ours in (
            (r"shortcut\.weight", r"downsample.0.weight"),
            (r"shortcut\.norm\.(\w+)", r"downsample.1.\2"),
            (r"conv(\d)\.weight", r"conv\2.weight"),
            (r"conv(\d)\.norm\.(\w+)", r"bn\2.\3"),
        )
    ),
    # Swin
    (r"backbone\.patch_embed\.proj\.(\w+)", r"backbone.patches.\1"),
    (r"backbone\.patch_embed\.norm\.(\w+)", r"backbone.patch_norm.\1"),
    (r"backbone\.layers\.(\d)\.downsample\.(\w+)\.(\w+)", r"backbone.mergings.\1.\2.\3"),
    (r"backbone\.norm(\d)\.(\w+)", r"backbone.norms.\1.\2"),
    (_BLOCK + r"(norm\d)\.(\w+)", r"backbone.stages.\1.\2.\3.\4"),
    (_BLOCK + r"attn\.relative_position_bias_table", r"backbone.stages.\1.\2.attention.bias_table"),
    (_BLOCK + r"attn\.(qkv|proj)\.(\w+)", r"backbone.stages.\1.\2.attention.\3.\4"),
    (_BLOCK + r"mlp\.fc1\.(\w+)", r"backbone.stages.\1.\2.mlp.0.\3"),
    (_BLOCK + r"mlp\.fc2\.(\w+)", r"backbone.stages.\1.\2.mlp.2.\3"),
    # pixel decoder
    (_PIXELS + r"input_proj\.(\d)\.(\d)\.(\w+)", r"pixel_decoder.input_proj.\1.\2.\3"),
    (_PIXELS + r"transformer\.level_embed", r"pixel_decoder.level_embed"),
    (_ENCODER + r"self_attn\.(\w+)\.(\w+)", r"pixel_decoder.layers.\1.attention.\2.\3"),
    (_ENCODER + r"(norm\d|linear\d)\.(\w+)", r"pixel_decoder.layers.\1.\2.\3"),
    (_PIXELS + r"adapter_1\.weight", r"pixel_decoder.lateral.0.weight"),
    (_PIXELS + r"adapter_1\.norm\.(\w+)", r"pixel_decoder.lateral.1.\1"),
    (_PIXELS + r"layer_1\.weight", r"pixel_decoder.output.0.weight"),
    (_PIXELS + r"layer_1\.norm\.(\w+)", r"pixel_decoder.output.1.\1"),
    (_PIXELS + r"mask_features\.(\w+)", r"pixel_decoder.mask_features.\1"),
    # the four kinds of decoder layer
    *(
        (_QUERIES + theirs + rest, rf"mask_decoder.{ours}.\1.{target}")
        for theirs, ours in (
            ("transformer_prompt_self_attention_layers", "prompt_attention"),
            ("transformer_cross_attention_layers", "image_attention"),
            ("transformer_self_attention_layers", "self_attention"),
        )
        for rest, target in (
            (_ATTENTION + r"in_proj_(\w+)", r"attention.in_proj.\2"),
            (_ATTENTION + r"out_proj\.(\w+)", r"attention.out_proj.\2"),
            (r"\.(\d+)\.norm\.(\w+)", r"norm.\2"),
        )
    ),
    (_QUERIES + r"transformer_ffn_layers\.(\d+)\.(\w+)\.(\w+)", r"mask_decoder.feed_forward.\1.\2.\3"),
    # queries and heads
    (_QUERIES + r"(?:query_feat|static_query)\.weight", r"mask_decoder.query"),
    (_QUERIES + r"query_embed\.weight", r"mask_decoder.query_position"),
    (_QUERIES + r"level_embed\.weight", r"mask_decoder.level_embed"),
    (_QUERIES + r"decoder_norm\.(\w+)", r"mask_decoder.norm.\1"),
    (_QUERIES + r"mask_embed\.layers\.(\d)\.(\w+)", r"mask_decoder.mask_embedding.layers.\1.\2"),
    (_QUERIES + r"vis2text_projection\.(\w+)", r"mask_decoder.class_projection.\1"),
    (_QUERIES + r"cls_temp\.weight", r"mask_decoder.class_temperature"),
    (_QUERIES + r"prompt_sot\.weight", r"visual_sampler.prompt_sot"),
    # words
    (_QUERIES + r"text_norm\.(\w+)", r"text_prompter.norm.\1"),
    (_QUERIES + r"text2vis_projection\.(\w+)", r"text_prompter.projection.\1"),
    (_QUERIES + r"prompt_(detection|grounding)\.weight", r"text_prompter.prompt_\1"),
    (_LOOK + r"multihead_attn\.in_proj_(\w+)", r"text_prompter.image_attention.attention.in_proj.\1"),
    (_LOOK + r"multihead_attn\.out_proj\.(\w+)", r"text_prompter.image_attention.attention.out_proj.\1"),
    (_LOOK + r"norm\.(\w+)", r"text_prompter.image_attention.norm.\1"),
)

UNREAD: tuple[str, ...] = (
    # counters of BatchNorm
    r".*\.num_batches_tracked",
    # without effect in the official code
    _QUERIES + r"reid_temp\.weight",
    # computed from the size of a window
    _BLOCK + r"attn\.relative_position_index",
    # classes of a Mask2Former, and what is not a weight
    _QUERIES + r"class_embed\.(weight|bias)",
    r"criterion\..*",
    # moving averages kept by official training: `split_averages`
    r"(backbone_t|sem_seg_head_t)\..*",
    r"pixel_(mean|std)",
)

SWIN_WIDTHS = {96: "swint", 128: "swinb", 192: "swinl"}
"""Channels of the first map -> our name of the model."""

SWIN_DEPTHS = {"swint": 6, "swinb": 18, "swinl": 18}
"""Blocks of the third stage."""

R50_DEPTH = 6
"""Blocks of res4."""

CLASS_ROWS: dict[str, tuple[int, int]] = {
    "imagenet": (0, 1000),
    "lvis": (1000, 1203),
    "burst": (1000, 1203),
    "ytvis21": (2203, 40),
    "ovis": (2243, 25),
    "bdd_track": (2268, 8),
    "objects365": (2276, 365),
    "coco_panoptic": (2641, 133),
    "coco": (2641, 80),
    "ade20k": (2774, 150),
    "vipseg": (2924, 124),
    "vspw": (2924, 124),
    "viposeg": (2924, 124),
    "ytvis19": (3048, 40),
    "entityseg_instance": (3088, 206),
    "entityseg_panoptic": (3294, 644),
}
"""Dataset -> (first row, number of rows) in the official 3938 x 640 class embeddings."""

CLASS_COUNT = 3938


def is_official(names: Iterable[str]) -> bool:
    """Whether tensors of these names are of an official checkpoint."""
    return any(name.startswith("sem_seg_head.") for name in names)


def is_read(official: str) -> bool:
    """Whether something here reads an official tensor, or nobody knows it."""
    return not any(re.fullmatch(pattern, official) for pattern in UNREAD)


def our_name(official: str) -> str | None:
    """Our name of an official tensor; None for one that nothing reads. Raises KeyError for an unknown name."""
    if not is_read(official):
        return None
    for pattern, replacement in TABLE:
        if match := re.fullmatch(pattern, official):
            return match.expand(replacement)
    raise KeyError(official)


def backbone_of(tensors: Mapping[str, Tensor]) -> str:
    """Which of our models (configs/model/NAME.yaml) official tensors belong to. UserError, naming it, for another."""
    patches = tensors.get("backbone.patch_embed.proj.weight")
    if patches is not None:
        deep = _blocks(tensors, r"backbone\.layers\.2\.blocks\.(\d+)\.")
        known = SWIN_WIDTHS.get(len(patches))
        if known is not None and deep == SWIN_DEPTHS[known]:
            return known
        raise UserError(
            f"official weights of a Swin of {len(patches)} channels and {deep} blocks in its third stage"
            f"{' (Swin-S)' if (len(patches), deep) == (96, 18) else ''}: R50, Swin-T, Swin-B and Swin-L are known"
        )
    if "backbone.stem.conv1.weight" in tensors:
        deep = _blocks(tensors, r"backbone\.res4\.(\d+)\.")
        if deep == R50_DEPTH:
            return "r50"
        name = {23: "a ResNet-101", 36: "a ResNet-152"}.get(deep, f"a ResNet of {deep} blocks in its fourth stage")
        raise UserError(f"official weights of {name}: R50, Swin-T, Swin-B and Swin-L are known")
    if not any(name.startswith("backbone.") for name in tensors):
        raise UserError("official weights are incomplete: nothing for the backbone")
    raise UserError("official weights of an unknown backbone: R50, Swin-T, Swin-B and Swin-L are known")


def _blocks(tensors: Iterable[str], pattern: str) -> int:
    """The number of blocks of a stage, whose names begin with a pattern that gives the number of the block."""
    return 1 + max((int(match[1]) for name in tensors if (match := re.match(pattern, name))), default=-1)


def is_initial(tensors: Mapping[str, Tensor]) -> bool:
    """Whether official tensors are those of a Mask2Former, which UniVS only starts from."""
    return not any("prompt_self_attention" in name for name in tensors)


def split_averages(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights themselves, and the moving averages of some of them under the same names."""
    live: dict[str, Tensor] = {}
    averages: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part in ("backbone_t", "sem_seg_head_t"):
            averages[f"{part.removesuffix('_t')}.{rest}"] = tensor
        else:
            live[name] = tensor
    return live, averages


def load_official(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill a model of the official sizes from an official state dict (moving averages in it are left out).

    Raises UserError that names tensors which are unknown, missing or of another shape; the model is then unchanged.
    """
    expected = _expected(model)
    found, unfitting = _fitting(expected, tensors)
    if unfitting:
        official, name = next(iter(unfitting.items()))
        shapes = f"{tuple(tensors[official].shape)} and not {tuple(expected[name].shape)}"
        raise UserError(f"official weights do not fit: {official} has shape {shapes}")
    missing = [name for name in expected if name not in found]
    if missing:
        raise UserError(f"official weights are incomplete: nothing for {_some(missing)}")
    model.load_state_dict(found, strict=False)


def initialise_official(model: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Start a model of the official sizes from a Mask2Former, as the official training does.

    What fits by name and shape is taken; linear layers and norms of the mask decoder that get nothing are drawn anew
    (truncated normal of 0.02, bias 0; norms 1 and 0), the rest keeps its initial weights.

    Returns:
        Our names that got nothing, and official ones that nothing took. Raises UserError for tensors that are unknown;
        the model is then unchanged.
    """
    expected = _expected(model)
    found, unfitting = _fitting(expected, tensors)
    unused = [name for name in tensors if name in unfitting or (our_name(name) is None and "class_embed" in name)]
    for prefix, module in model.named_modules():
        if not prefix.startswith(("mask_decoder.", "text_prompter.")):
            continue
        if isinstance(module, nn.Linear) and f"{prefix}.weight" not in found:
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm) and f"{prefix}.weight" not in found:
            module.reset_parameters()
    model.load_state_dict(found, strict=False)
    return [name for name in expected if name not in found], unused


def _expected(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model that official weights give."""
    return {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}


def _fitting(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Official tensors under our names, and those of another shape: official name -> ours. Unknown ones raise."""
    found: dict[str, Tensor] = {}
    unfitting: dict[str, str] = {}
    unknown: list[str] = []
    for official, tensor in tensors.items():
        try:
            name = our_name(official)
        except KeyError:
            unknown.append(official)
            continue
        if name is None:
            continue
        if name not in expected:
            unknown.append(official)
        elif tensor.shape != expected[name].shape:
            unfitting[official] = name
        else:
            found[name] = tensor
    if unknown:
        raise UserError(f"official weights do not fit: unknown {_some(unknown)}")
    return found, unfitting


def _some(names: list[str]) -> str:
    rest = len(names) - 3
    return ", ".join(names[:3]) + (f" and {rest} more" if rest > 0 else "")
