"""The tasks, by name."""

from __future__ import annotations

from univs.streaming.tasks.refvos import REFVOS
from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vos import VOS

TASKS: dict[str, Task] = {task.name: task for task in (VOS, REFVOS)}

__all__ = ["TASKS", "Task"]
