"""The configs folder and what Hydra composes from it; Hydra itself is imported only when something is composed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.overrides import TypedTexts, at_home, for_hydra


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

    Paths and other text are taken as they are typed (`univs.overrides`), `~` at the start of a path is the home folder.
    Raises UserError, in one line, for an unknown key, option or group, and for a value that must be given and is not.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    texts = TypedTexts()
    _check_options(name, overrides)
    readable = [for_hydra(override, texts) for override in overrides]
    try:
        with initialize_config_dir(str(configs_folder()), version_base="1.3"):
            config = hydra_compose(name, readable)
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"{name}: no value for {', '.join(missing)}; add {missing[0]}=...")
        settings = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{name}: {texts.shown(_one_line(error))}") from error
    assert isinstance(settings, dict)
    return at_home(texts.put_back({str(key): value for key, value in settings.items()}))


def _check_options(name: str, overrides: Sequence[str]) -> None:
    """Raise UserError for a choice (`dataset=davis17`) that is none of the files in its folder."""
    for override in overrides:
        group, _, option = override.lstrip("+").partition("=")
        folder = configs_folder() / group
        if re.fullmatch(r"[a-z_]+", group) and folder.is_dir() and not (folder / f"{option.strip()}.yaml").is_file():
            known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise UserError(f"{name}: there is no {group}/{option}; there are {known}")


def _one_line(error: Exception) -> str:
    """The message of an error and of its cause, which says what Hydra's own words leave out."""
    if unknown := re.match(r"Could not override '(\S+)'\.\s+To append", str(error)):
        added = "; an option of the session is added with a +" if unknown[1].startswith("options.") else ""
        return f"there is no setting {unknown[1]}{added}; the files in configs list all"
    if missing := re.search(r"Missing mandatory value: (\S+)", str(error)):  # what others are made of
        return f"no value for {missing[1]}; add {missing[1]}=..."
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
