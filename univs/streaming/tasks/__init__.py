"""The tasks, by name."""

from __future__ import annotations

from univs.streaming.tasks.pvos import PVOS
from univs.streaming.tasks.refvos import REFVOS
from univs.streaming.tasks.task import Task
from univs.streaming.tasks.vis import VIS
from univs.streaming.tasks.vos import VOS
from univs.streaming.tasks.vps import VPS
from univs.streaming.tasks.vss import VSS

TASKS: dict[str, Task] = {task.name: task for task in (VIS, VSS, VPS, VOS, REFVOS, PVOS)}

__all__ = ["TASKS", "Task"]
