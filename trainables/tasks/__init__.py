"""Self-supervised tasks: those of pretext tasks and of graph distillation's teachers. Their names: `TASKS` of the settings."""

from __future__ import annotations

from trainables.models import BACKBONE
from trainables.settings import TASKS, SettingsError
from trainables.tasks.task import SelfSupervisedTask

__all__ = ["BACKBONE", "SelfSupervisedTask", "find_task"]


def find_task(name: str) -> type[SelfSupervisedTask]:
    """The task of a name or of an import path `package.module:NAME`. Raises SettingsError."""
    task = TASKS.find(name)
    if not (isinstance(task, type) and issubclass(task, SelfSupervisedTask)):
        raise SettingsError(f"task {name}: not a subclass of trainables.tasks.SelfSupervisedTask")
    return task
