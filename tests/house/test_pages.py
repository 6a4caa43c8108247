"""What the pages say exists, exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from univs import cli

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/style.md",
    "docs/synthvs.md",
    "docs/metrics.md",
    "docs/evaluation.md",
    "docs/inputs.md",
    "docs/interactive.md",
    "datasets/README.md",
)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(repository: Path, page: str) -> None:
    text = (repository / page).read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"src=\"([^\"]+)\"", text)
    broken = [t for t in targets if "://" not in t and not ((repository / page).parent / t).exists()]
    assert not broken


def test_commands_of_the_readme_are_known(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    known = capsys.readouterr().out
    named = set(re.findall(r"`univs (\w+)", (repository / "README.md").read_text()))
    assert named >= {"segment", "demo", "evaluate", "benchmark", "train"}
    assert not [name for name in named if not re.search(rf"^\s+{name}\b", known, re.MULTILINE)]


def test_ci_runs_what_the_readme_tells_and_nothing_else(repository: Path) -> None:
    lines = [line.strip() for line in (repository / ".ci" / "run").read_text().splitlines()]
    commands = [line.removeprefix("exec ") for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test"]
    assert "make test" in (repository / "README.md").read_text()
