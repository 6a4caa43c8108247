"""Networks from plain numbers and from weights files, ours (`own_files.py`) and official ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from univs.configuration import configs_folder
from univs.errors import UserError
from univs.models.backbone import Backbone
from univs.models.feelvos import FEELVOS
from univs.models.feelvos_official import is_feelvos, load_feelvos
from univs.models.mask_decoder import MaskDecoder
from univs.models.mask_refiner import MaskRefiner
from univs.models.official import (
    backbone_of,
    initialise_official,
    is_initial,
    is_official,
    is_read,
    load_official,
    split_averages,
)
from univs.models.own_files import fill, read_header, read_own
from univs.models.pixel_decoder import DeformablePixelDecoder, LightPixelDecoder
from univs.models.portrait import PortraitNet
from univs.models.prompt_answers import PromptAnswers
from univs.models.rvos import RVOS
from univs.models.rvos_official import load_rvos, official_rvos, read_rvos_folder
from univs.models.siammask import SiamMask
from univs.models.siammask_official import load_siammask, official_siammask
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.space_time_official import load_space_time, official_model
from univs.models.swin import SwinBackbone
from univs.models.tensorflow_files import is_tensorflow, read_variables
from univs.models.text_prompts import TextPrompter
from univs.models.univs import UniVS
from univs.models.unset_weights import UnsetWeights
from univs.models.visual_sampler import VisualSampler
from univs.models.weight_files import check_numbers, read_tensors, unwrapped
from univs.models.weights_path import weights_path
from univs.models.word_head import WordHead

log = logging.getLogger(__name__)

BACKBONES = {"timm": Backbone, "swin": SwinBackbone}
PIXEL_DECODERS = {"light_fpn": LightPixelDecoder, "deformable": DeformablePixelDecoder}
Network = UniVS | SpaceTimeMemory | RVOS | SiamMask | FEELVOS | PortraitNet
KINDS: dict[str, Callable[..., Any]] = {
    "space_time_memory": SpaceTimeMemory,
    "rvos": RVOS,
    "siammask": SiamMask,
    "feelvos": FEELVOS,
    "portrait": PortraitNet,
}
"""What numbers of other models say under `kind`, and the entry that has them -> the network of that kind."""
OFFICIAL: tuple[tuple[Callable[[Mapping[str, Tensor]], str | None], Callable[..., None]], ...] = (
    (official_model, load_space_time),
    (official_rvos, load_rvos),
    (official_siammask, load_siammask),
)
"""What tells of which model (configs/model/NAME.yaml) tensors are, None: of none; and what fills it with them."""


def build_network(config: Mapping[str, Any]) -> Network:
    """A model of any kind with initial weights from plain numbers. Raises UserError as `build_model` does."""
    if isinstance(config, Mapping) and config.get("kind") in KINDS:
        kind = config["kind"]
        with _named_errors(config):
            mean, std = config["pixel_mean"], config["pixel_std"]
            network: Network = KINDS[kind](**config[kind], pixel_mean=mean, pixel_std=std, config=config)
            return network
    return build_model(config)


def build_feelvos(config: Mapping[str, Any]) -> FEELVOS:
    """A FEELVOS from plain numbers (configs/model/feelvos.yaml). Raises UserError as `build_model` does."""
    network = build_network(config)
    if not isinstance(network, FEELVOS):
        raise UserError(f"the model {config.get('name')} is no FEELVOS; feelvos and feelvos_light are")
    return network


def build_space_time(config: Mapping[str, Any]) -> SpaceTimeMemory:
    """A space-time memory from plain numbers (configs/model/mivos.yaml). Raises UserError as `build_model` does."""
    network = build_network(config)
    if not isinstance(network, SpaceTimeMemory):
        raise UserError(f"the model {config.get('name')} is no space-time memory; mivos, stm and stm_light are")
    return network


def build_model(config: Mapping[str, Any]) -> UniVS:
    """A model with initial weights from plain numbers (the keys of configs/model/*.yaml); downloads nothing.

    Raises UserError for missing, unknown or impossible numbers.
    """
    if isinstance(config, Mapping) and "kind" in config:
        raise UserError(f"the model {config.get('name')} is no UniVS but a {config['kind']}; name a UniVS")
    with _named_errors(config):
        return _build(config)


@contextmanager
def _named_errors(config: Mapping[str, Any]) -> Iterator[None]:
    """Whatever numbers that are missing, unknown or impossible come to is a UserError that names the model."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        name = config.get("name", "without a name") if isinstance(config, Mapping) else config
        what = f"missing entry {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise UserError(f"cannot build the model {name}: {what}; see configs/model/*.yaml") from error


def _build(config: Mapping[str, Any]) -> UniVS:
    backbone_options = {"kind": "timm", **config["backbone"]}
    backbone = _kind("backbone", BACKBONES, backbone_options)(**backbone_options)
    pixel_options = dict(config["pixel_decoder"])
    pixel_decoder = _kind("pixel decoder", PIXEL_DECODERS, pixel_options)(backbone.channels, **pixel_options)
    mask_decoder = MaskDecoder(**config["mask_decoder"])
    dense_memory = None
    if config["dense_memory"]:
        from univs.models.dense_memory import DenseMemory

        dense_memory = DenseMemory(
            pyramid_channels=pixel_decoder.pyramid_channels,
            mask_dim=pixel_options["mask_dim"],
            **config["dense_memory"],
        )
    text_prompter = None
    if config.get("text"):  # weights files from before there were words have no such entry
        heads = config["text"]["heads"]
        text_prompter = TextPrompter(config["mask_decoder"]["text_dim"], mask_decoder.dim, heads)
    word_head = None
    if config.get("word_head"):
        word_head = WordHead(mask_decoder.dim, config["mask_decoder"]["text_dim"], **config["word_head"])
    prompt_answers = None
    if config.get("prompt_answers"):
        prompt_answers = PromptAnswers(mask_decoder.dim, pixel_options["mask_dim"], **config["prompt_answers"])
    mask_refiner = None
    if config.get("mask_refiner"):
        mask_refiner = MaskRefiner(backbone.channels, **config["mask_refiner"])
    return UniVS(
        backbone,
        pixel_decoder,
        VisualSampler(mask_decoder.dim, **config["visual_sampler"]),
        mask_decoder,
        dense_memory,
        text_prompter,
        word_head,
        prompt_answers,
        mask_refiner,
        pixel_mean=config["pixel_mean"],
        pixel_std=config["pixel_std"],
        config=config,
    )


def _kind(part: str, kinds: Mapping[str, Callable[..., Any]], options: dict[str, Any]) -> Callable[..., Any]:
    """What the entry `kind`, here taken out of the options of a part, stands for."""
    kind = options.pop("kind")
    if kind not in kinds:
        raise ValueError(f"unknown {part} {kind!r}: one of {', '.join(kinds)}")
    return kinds[kind]


def load(name_or_path: str | os.PathLike[str], device: str = "cpu", *, averages: bool = False) -> Network:
    """A model with its weights, in eval mode.

    Args:
        name_or_path: the name of built-in weights ("tiny") or of official ones that lie in the cache folder ("stm",
            "mivos", "rvos", "siammask", "feelvos"), the path of a .safetensors file of ours, or the path of an official
            checkpoint (of torch, a .pkl, or safetensors): UniVS with R50, Swin-T, Swin-B or Swin-L; a Mask2Former with
            one of them, which gives the initial weights of such a UniVS; STM; the propagation of MiVOS; RVOS (a folder
            of two files); SiamMask, also of PySOT; of FEELVOS an .npz of its variables, or where tensorflow is
            installed its checkpoint.
        device: where to put it, as torch names devices.
        averages: take the moving averages that official training keeps beside the weights, where the file has them.

    What an official file leaves open or what of it is not used is named in a log message. Raises UserError for an
    unknown name, a missing, foreign or damaged file, and a device that is not there.
    """
    path = weights_path(str(name_or_path))
    ours = path.suffix == ".safetensors" and not _is_official_file(path)
    if is_tensorflow(path):
        model: Network = _load_official_feelvos(path, averages)
    else:
        model = _load_our_file(path) if ours else _load_official_file(path, averages)
    try:
        return model.eval().to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"cannot use device {device!r}: {str(error).splitlines()[0]}") from error


def load_univs(name_or_path: str | os.PathLike[str], device: str = "cpu") -> UniVS:
    """`load` for what needs a UniVS. UserError for weights of another kind of model."""
    model = load(name_or_path, device)
    if not isinstance(model, UniVS):
        raise UserError(f"{name_or_path} holds a {model.config['name']}, which is no UniVS; give weights of a UniVS")
    return model


def check_model(name_or_path: str | os.PathLike[str], wanted: str) -> None:
    """Raise UserError unless these weights are of the model of that name (configs/model)."""
    path = weights_path(str(name_or_path))
    if path.suffix == ".safetensors" and not _is_official_file(path):
        found = (read_header(path)[1] or {}).get("name", "unknown")
    elif is_tensorflow(path):
        found = "feelvos" if is_feelvos(read_variables(path)) else "unknown"
    else:
        tensors = _read_official(path)
        found = _family(tensors)[0] or (backbone_of(tensors) if is_official(tensors) else "unknown")
    if found != wanted:
        raise UserError(f"{path} holds weights of the model {found}, not of {wanted}; leave out one of the two")


def start_from(model: Network, path: str | os.PathLike[str]) -> None:
    """Give a model the weights of a file (any that `load` takes) where they fit, and name the parts that got none."""
    source = load(path)
    given, own = source.state_dict(), model.state_dict()
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise UserError(f"nothing in {path} fits the model {model.config.get('name', '')}; name weights of that model")
    model.load_state_dict(fitting, strict=False)
    if missing := [name for name in own if name not in fitting]:
        log.warning("%s has nothing for %s, which start anew", path, _parts(missing))
    refiner = getattr(model, "mask_refiner", None)
    if refiner is not None:
        read = ("mask_refiner.",) if refiner.trunk is not None else ("mask_refiner.", "backbone.")
        anew = any(name.startswith(read) for name in missing)
        if anew or source.config.get("mask_refiner") != model.config.get("mask_refiner"):
            refiner.learnt.fill_(False)  # it is another one, or a part of what it reads knows nothing yet


def _is_official_file(path: Path) -> bool:
    """Whether a safetensors file holds official tensors, and does not say itself which model it is for."""
    names, numbers = read_header(path)
    tensors = unwrapped(dict.fromkeys(names, torch.empty(0)))
    return numbers is None and (is_official(tensors) or _family(tensors)[0] is not None)


def _family(tensors: Mapping[str, Tensor]) -> tuple[str | None, Callable[..., None] | None]:
    """Of which official model beside UniVS tensors are, None: of none, and what fills it with them."""
    return next(((name, load) for tell, load in OFFICIAL if (name := tell(tensors)) is not None), (None, None))


def _read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of an official file, or of the folder of RVOS's two files."""
    return read_rvos_folder(path) if path.is_dir() else read_tensors(path)


def _load_our_file(path: Path) -> Network:
    config, tensors = read_own(path)
    with UnsetWeights():  # below every one of them gets its value
        model = build_network(config)
    fill(model, tensors, path)
    return model


def _load_official_file(path: Path, averages: bool) -> Network:
    tensors = _read_official(path)
    name, fill_official = _family(tensors)
    if name is not None and fill_official is not None:
        if averages:
            raise UserError(f"{path} holds no moving averages: load it without averages")
        return _load_official_family(path, name, fill_official, tensors)
    if not is_official(tensors):
        hint = ""
        if any(name.startswith("mask_decoder.") for name in tensors):
            hint = " (its names are those of univs, without the numbers of the model)"
        raise UserError(
            f"{path} is not an official UniVS checkpoint{hint}: give one, or a .safetensors file of univs train"
        )
    tensors, average = split_averages(tensors)
    if averages and not average:
        raise UserError(f"{path} holds no moving averages: load it without averages")
    if averages:
        tensors.update(average)
    elif average:
        log.warning("%s also holds moving averages of %d tensors, which are not used", path, len(average))
    check_numbers(path, {name: tensor for name, tensor in tensors.items() if is_read(name)})
    try:
        name = backbone_of(tensors)
        model = build_model(numbers_of(name))
        if is_initial(tensors):
            missing, unused = initialise_official(model, tensors)
            message = "%s is a Mask2Former: initial weights only; nothing in it for %s; nothing took %s"
            log.warning(message, path, _parts(missing), ", ".join(name.rpartition(".")[0] for name in unused) or "none")
        else:
            load_official(model, tensors)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return model


def _load_official_family(
    path: Path, name: str, fill_official: Callable[..., None], tensors: dict[str, Tensor]
) -> Network:
    check_numbers(path, tensors)
    try:
        with UnsetWeights():  # all are given below, or it is refused
            model = build_network(numbers_of(name))
        fill_official(model, name, tensors)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return model


def _load_official_feelvos(path: Path, averages: bool) -> FEELVOS:
    variables = read_variables(path)
    if averages:
        raise UserError(f"{path} holds no moving averages: load it without averages")
    if not is_feelvos(variables):
        raise UserError(f"{path} does not hold FEELVOS, the one model whose variables of tensorflow are read")
    try:
        with UnsetWeights():  # all are given below, or it is refused
            model = build_feelvos(numbers_of("feelvos"))
        load_feelvos(model, variables)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return model


def numbers_of(name: str) -> dict[str, Any]:
    """The numbers of an official model."""
    import yaml  # only now: our own files bring their numbers along

    numbers: dict[str, Any] = yaml.safe_load((configs_folder() / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    return numbers


def _parts(names: Iterable[str]) -> str:
    """Names of tensors, those of one part of a model as one."""
    return ", ".join(dict.fromkeys(".".join(name.split(".")[:2]) for name in names)) or "none"
