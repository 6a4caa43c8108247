"""What may be said to each task, and what its label maps hold."""

from __future__ import annotations

import pytest

from univs.errors import UserError
from univs.prompts import Box, Text
from univs.streaming.tasks import TASKS

BOX = Box(1, (0, 0, 5, 5))


def test_the_table_of_tasks() -> None:
    assert {name: (task.takes_categories, task.labels) for name, task in TASKS.items()} == {
        "vis": (True, "masks"),
        "vss": (True, "semantic"),
        "vps": (True, "panoptic"),
        "vos": (False, "masks"),
        "refvos": (False, "expressions"),
        "pvos": (False, "masks"),
        "zero_shot": (False, "masks"),
    }
    needy = {name for name, task in TASKS.items() if task.needs_prompts}
    assert needy == {"vos", "refvos", "pvos"}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_what_may_be_said(name: str) -> None:
    task = TASKS[name]
    if task.takes_categories:
        assert task.prompts_in([]) == {}
        with pytest.raises(UserError, match="a Box is about one object; this task takes categories alone"):
            task.prompts_in([BOX])
        return
    if name == "zero_shot":
        assert task.prompts_in([]) == {}
        with pytest.raises(UserError, match="finds objects by itself and takes no Box; the task vos follows what is"):
            task.prompts_in([BOX])
        return
    assert task.prompts_in([BOX])[1].boxes == [BOX]
    if name == "vos":
        with pytest.raises(UserError, match="a Text is not a visual prompt"):
            task.prompts_in([Text("a cow", 1)])
        return
    assert task.prompts_in([Text("a cow", 1), BOX])[1].texts == ["a cow"]
    if name == "pvos":
        with pytest.raises(UserError, match="object 2 has the name 'sky' but is not shown"):
            task.prompts_in([BOX, Text("cow", 2), Text("sky", 2)])
    else:
        assert task.prompts_in([Text("sky", 2)])[2].texts == ["sky"]
