"""The configs folder and what Hydra composes from it; Hydra itself is imported only when something is composed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.files import from_home
from univs.overrides import TypedTexts, at_home, for_hydra
from univs.texts import read_text


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

    In place of an option a group takes a file of one's own, `data=mine/people.yaml`, whose settings can be overridden
    as well. Paths and other text are taken as they are typed (`univs.overrides`), `~` at the start of a path is the
    home folder. Raises UserError, in one line, for an unknown key, option or group, for a value that must be given and
    is not, and for a file that is not there or no mapping in YAML.
    """
    texts = TypedTexts()
    with tempfile.TemporaryDirectory(prefix="univs-configs-") as own:
        overrides = [_own_file(override, Path(own)) for override in overrides]
        _check_options(name, overrides, Path(own))
        readable = [for_hydra(override, texts) for override in overrides]
        if any(Path(own).iterdir()):
            readable.append(f"hydra.searchpath=['file://{own}']")
        return _composed(name, readable, texts)


def _composed(name: str, readable: Sequence[str], texts: TypedTexts) -> dict[str, Any]:
    """What Hydra makes of overrides that it can read."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(configs_folder()), version_base="1.3"):
            config = hydra_compose(name, list(readable))
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"{name}: no value for {', '.join(missing)}; add {missing[0]}=...")
        settings = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{name}: {texts.shown(_one_line(error))}") from error
    assert isinstance(settings, dict)
    return at_home(texts.put_back({str(key): value for key, value in settings.items()}))


def _own_file(override: str, folder: Path) -> str:
    """An override as it is; of `group=FILE.yaml` the option that the file becomes, which is put into GROUP of a folder.

    Raises UserError for a file that is not there, or no mapping in YAML.
    """
    group, _, value = override.partition("=")
    if not re.fullmatch(r"[a-z_]+", group) or not (configs_folder() / group).is_dir():
        return override
    path = from_home(value)
    if path.suffix not in (".yaml", ".yml"):
        return override
    import yaml

    text = read_text(path, f"settings in YAML, as configs/{group} has them")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{group}={value} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{group}={value} holds no settings: write NAME: VALUE, one a line, as configs/{group} does")
    name = f"own_{re.sub('[^A-Za-z0-9]', '_', path.stem)}"
    (folder / group).mkdir(exist_ok=True)
    (folder / group / f"{name}.yaml").write_text(text, encoding="utf-8")
    return f"{group}={name}"


def _check_options(name: str, overrides: Sequence[str], own: Path) -> None:
    """Raise UserError for a choice (`dataset=davis17`) that is neither in the folder of its group nor in `own`."""
    for override in overrides:
        group, _, option = override.lstrip("+").partition("=")
        folder = configs_folder() / group
        if (own / group / f"{option}.yaml").is_file():
            continue
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
