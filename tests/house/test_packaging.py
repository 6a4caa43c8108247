"""Configs and package data: found in the checkout, and inside a wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from univs.configuration import compose, configs_folder
from univs.errors import UserError


def test_configs_of_the_checkout(repository: Path) -> None:
    assert configs_folder() == repository / "configs"
    assert {p.name for p in (repository / "configs" / "model").glob("*.yaml")} >= {"tiny.yaml", "r50.yaml"}


def test_compose_gives_plain_values() -> None:
    settings = compose("evaluate", ["data.root=somewhere", "size=240", "sequences=[a,b]"])
    assert settings["size"] == 240 and settings["data"]["root"] == "somewhere" and settings["sequences"] == ["a", "b"]
    assert type(settings) is dict and type(settings["data"]) is dict


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.root=x", "sise=240"], "sise"),
        (["data.root=x", "size"], "size"),
        (["data.root=x", "sequences=[a"], r"\[a"),
        (["data.root=x", "+model=huge"], "model/huge"),
        ([], "data.root"),
    ],
)
def test_bad_overrides_are_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        compose("evaluate", overrides)
    assert "\n" not in str(caught.value)


def test_a_wheel_carries_configs_and_data(repository: Path, tmp_path: Path) -> None:
    """Builds the wheel as pip and uv do, of an sdist, without touching the checkout or the network."""
    pytest.importorskip("setuptools", minversion="77")
    source, built = tmp_path / "source", tmp_path / "built"
    for name in ("univs", "configs", "tests/house", "tools"):
        shutil.copytree(repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(repository / name, source / name)
    build = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])('.')"
    subprocess.run([sys.executable, "-c", build, "build_sdist"], cwd=source, check=True, capture_output=True)
    (sdist,) = source.glob("*.tar.gz")
    shutil.unpack_archive(sdist, built)
    (unpacked,) = built.iterdir()
    subprocess.run([sys.executable, "-c", build, "build_wheel"], cwd=unpacked, check=True, capture_output=True)
    (wheel,) = unpacked.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, inside in (("configs", "univs/configs"), ("univs", "univs")):
        files = [p.relative_to(source / folder).as_posix() for p in (source / folder).rglob("*") if p.is_file()]
        missing = [name for name in files if f"{inside}/{name}" not in names]
        assert files and not missing
    assert not [name for name in names if name.startswith(("tests", "tools", "configs"))]
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    found = "from univs.configuration import configs_folder; print(configs_folder())"
    # -P: do not put the current folder first, so that only the unpacked wheel can answer
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {found}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()) == site / "univs" / "configs"


def test_the_command_is_installed() -> None:
    (command,) = (entry for entry in entry_points(group="console_scripts") if entry.name == "univs")
    assert command.value == "univs.cli:main"
