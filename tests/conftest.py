"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The folder of the golden figures; a test that asks for it is skipped where they are absent."""
    root = Path(os.environ.get("UNIVS_CONFORMANCE", REPOSITORY.parent / "shared" / "conformance"))
    if not root.is_dir():
        pytest.skip(f"no golden figures at {root} (set UNIVS_CONFORMANCE)")
    return root
