"""The task of the contributor guide works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.streaming.conftest import moving_squares
from univs.commands.segment import check_question
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.streaming import Session
from univs.streaming.tasks import TASKS


def test_the_example_of_a_new_task(model: UniVS, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (repository / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert code.count("\n") < 80
    content: dict[str, Any] = {}
    exec(compile(code, "silhouette.py", "exec", dont_inherit=True), content)
    monkeypatch.setitem(TASKS, "silhouette", content["SILHOUETTE"])  # the line in the table
    categories, embeddings = Categories(("square", "disc")), torch.randn(2, 8, generator=torch.manual_seed(5))
    check_question("silhouette", {}, categories)
    options: dict[str, Any] = {"class_embeddings": embeddings, "class_score": 0.0, "stability": 0.0}
    frames, _ = moving_squares(3)
    whole, apart = (Session(model, task, categories=categories, **options) for task in ("silhouette", "vis"))
    for frame in frames:
        found = whole.step(frame)
        assert found.object_ids == (1,)
        assert (found.labels == (apart.step(frame).labels != 0)).all() and np.any(found.labels)
