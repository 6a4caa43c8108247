"""The configs folder and what Hydra composes from it; Hydra itself is imported only when something is composed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from univs.errors import UserError


def configs_folder() -> Path:
    """The folder of the YAML files: univs/configs in an installed wheel, configs beside univs in a checkout.

    Raises UserError if neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "model").is_dir():
            return folder
    raise UserError(f"no configs folder in {package} or beside it: install univs again")


def compose(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of configs/NAME.yaml with Hydra overrides (`key=value`, `group=option`) applied, as plain values.

    Raises UserError, in one line, for an unknown key, option or group, and for a value that must be given and is not.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(configs_folder()), version_base="1.3"):
            config = hydra_compose(name, list(overrides))
        settings = OmegaConf.to_container(config, resolve=True)
        missing = sorted(OmegaConf.missing_keys(config))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{name}: {_one_line(error)}") from error
    if missing:
        raise UserError(f"{name}: no value for {', '.join(missing)}; add {missing[0]}=...")
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _one_line(error: Exception) -> str:
    """The message of an error and of its cause, which says what Hydra's own words leave out."""
    messages = [str(error), *([str(error.__cause__)] if error.__cause__ else [])]
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    noise = (
        "full_key:",
        "object_type=",
        "reference_type=",
        "Set the environment",
        "See https",
        "provider=",
        "Config search",
    )
    return "; ".join(dict.fromkeys(line for line in lines if not line.startswith(noise)))
