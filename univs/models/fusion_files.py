"""Weights of the fusion network: files of ours, and the official one, whose names of tensors are the same."""

from __future__ import annotations

import os

from univs.errors import UserError
from univs.models.fusion import FusionNetwork
from univs.models.own_files import fill, read_header, read_own
from univs.models.weight_files import read_tensors
from univs.models.weights_path import weights_path

KIND = "fusion"
"""What the numbers in a file of ours say under `kind`."""


def load_fusion(name_or_path: str | os.PathLike[str], device: str = "cpu") -> FusionNetwork:
    """The network with its weights, in eval mode.

    Raises UserError for an unknown name, a missing, foreign or damaged file, and a device that is not there.
    """
    path = weights_path(str(name_or_path))
    if path.suffix == ".safetensors" and read_header(path)[1] is not None:
        config, tensors = read_own(path)
        if config.get("kind") != KIND:
            raise UserError(f"{path} holds a {config.get('name', 'model without a name')}, and no fusion network")
    else:
        tensors = read_tensors(path)
        if tensors.keys() != FusionNetwork().state_dict().keys():
            raise UserError(f"{path} holds no weights of MiVOS's fusion network: give such a file")
    network = FusionNetwork()
    fill(network, tensors, path)
    try:
        return network.eval().to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"cannot use device {device!r}: {str(error).splitlines()[0]}") from error
