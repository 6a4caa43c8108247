"""The tasks, by name."""

from __future__ import annotations

from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vos import VOS

TASKS: dict[str, Task] = {"vos": VOS}

__all__ = ["TASKS", "Task"]
