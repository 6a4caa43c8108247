"""The rules of the house that a reader of one file cannot see: floors of imports, sizes of files, what import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

FLOORS = (
    {
        "errors",
        "fields",
        "files",
        "texts",
        "claim",
        "configuration",
        "allocator",
        "devices",
        "mistaken_files",
        "overrides",
        "settings",
        "terminal",
        "waiting",
    },
    {"prompts", "results", "vocabularies"},
    {"video", "masks"},
    {"models"},
    {"trackers", "losses"},
    {"streaming", "interactive"},
    {"formats"},
    {"data"},
    {"visualization"},
    {"evaluation"},
    {"training"},
    {"cli", "commands", "demo", "benchmark", "__main__"},
)
HEIGHT = {name: height for height, names in enumerate(FLOORS) for name in names}
# Optional or heavy packages, and the only places that may import them at all.
EDGES = {
    "pycocotools": {"univs/masks", "univs/results.py"},
    "hydra": {"univs/configuration.py"},
    "omegaconf": {"univs/configuration.py"},
    "cv2": {"univs/data", "univs/training"},
    "tensorboard": {"univs/training"},
    "tensorflow": {"univs/models/tensorflow_files.py"},
}


def sources(repository: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((repository / "univs").rglob("*.py")):
        yield path.relative_to(repository).as_posix(), ast.parse(path.read_text())


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(file: str) -> int | None:
    """None for univs/__init__.py, whose lazy names reach every floor."""
    name = file.removeprefix("univs/").removesuffix(".py").split("/")[0]
    return None if name == "__init__" else HEIGHT[name]


def test_files_import_only_from_their_own_floor_and_below(repository: Path) -> None:
    upward = []
    for file, tree in sources(repository):
        floor = floor_of(file)
        for name in imported(tree):
            parts = name.split(".")
            if floor is not None and parts[0] == "univs" and len(parts) > 1 and HEIGHT.get(parts[1], 0) > floor:
                upward.append(f"{file} imports {name}")
    assert not upward


def test_neighbours_on_a_floor_do_not_import_each_other_in_a_circle(repository: Path) -> None:
    edges: dict[str, set[str]] = {}
    for file, tree in sources(repository):
        home = file.removeprefix("univs/").removesuffix(".py").split("/")[0]
        targets = {name.split(".")[1] for name in imported(tree) if name.startswith("univs.")}
        edges.setdefault(home, set()).update(targets & HEIGHT.keys() - {home})
    circles = [(a, b) for a in edges for b in edges[a] if a != "__init__" and a in edges.get(b, set())]
    assert not circles


def test_the_two_ways_of_following_know_nothing_of_each_other(repository: Path) -> None:
    """What both need lies beside their folders, and the loop's names stay out of both."""
    astray = []
    for file, tree in sources(repository):
        for mine, other in (("frame", "clip"), ("clip", "frame")):
            if file.startswith(f"univs/trackers/{mine}/") or file.count("/") == 2 and "trackers/" in file:
                named = [name for name in imported(tree) if f"{name}.".startswith(f"univs.trackers.{other}.")]
                astray += [f"{file} imports {name}" for name in named]
    assert not astray


def test_measures_know_no_model(repository: Path) -> None:
    """What scores files needs neither torch nor what runs a model over a set."""
    above = ("torch", "univs.models", "univs.trackers", "univs.streaming", "univs.data", "univs.evaluation.run")
    wrong = [
        f"{file} imports {name}"
        for file, tree in sources(repository)
        for name in imported(tree)
        if file.startswith("univs/evaluation/metrics/") and any(f"{name}.".startswith(f"{one}.") for one in above)
    ]
    assert not wrong


def test_edge_packages_stay_at_the_edge(repository: Path) -> None:
    astray = []
    for file, tree in sources(repository):
        for name in imported(tree):
            package = name.split(".")[0]
            if package in EDGES and not any(file.startswith(place) for place in EDGES[package]):
                astray.append(f"{file} imports {package}")
    assert not astray


def test_no_star_imports_no_drawers_no_endless_files(repository: Path) -> None:
    for file, tree in sources(repository):
        stars = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        assert not stars, file
        assert Path(file).stem not in ("utils", "util", "helpers", "misc", "common"), file
        lines = (repository / file).read_text().count("\n")
        assert lines <= 400, f"{file} has {lines} lines: split it by thought"


def test_import_is_cheap(repository: Path) -> None:
    probe = (
        "import sys, univs, univs.prompts, univs.results, univs.formats, univs.evaluation.metrics.davis, univs.cli;"
        "print(*(m for m in ('torch', 'cv2', 'hydra', 'timm', 'av') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


SLOW = {"timm", "torchvision", "torch._dynamo", "scipy", "skimage", "open_clip", "tokenizers", "yaml", "hydra", "cv2"}


@pytest.mark.parametrize(
    ("question", "needed"),
    [(["--box", "1@0:8,8,40,40"], set()), (["--task", "vis", "--categories", "dog, cat"], {"tokenizers"})],
)
def test_a_first_answer_imports_nothing_slow_but_torch(
    repository: Path, tmp_path: Path, question: list[str], needed: set[str]
) -> None:
    """Each of these takes from a tenth of a second to a second, and only clicks, training or other models need it."""
    for index in range(2):
        Image.new("RGB", (64, 48), (40 * index, 90, 20)).save(tmp_path / f"{index}.png")
    command = ["segment", str(tmp_path), *question, "--out", str(tmp_path / "out")]
    probe = f"import sys, univs.cli; assert univs.cli.main({command!r}) == 0; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=repository, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "torch" in loaded and SLOW & loaded == needed


def test_every_public_name_can_be_had(repository: Path) -> None:
    import univs

    for name in univs.__all__:
        assert getattr(univs, name) is not None
    assert set(univs.__all__) <= set(dir(univs))
