"""Self-supervised tasks: those of pretext tasks and of graph distillation's teachers. Their names: `TASKS` of the settings."""

from __future__ import annotations

from trainables.models import BACKBONE
from trainables.settings import TASKS, SelfSupervisedSettings, SettingsError
from trainables.tasks.task import SelfSupervisedTask

__all__ = ["BACKBONE", "SelfSupervisedTask", "find_task"]


ENCODERS_OF_TEACHERS = ("vgg", "prednet")


def find_task(name: str) -> type[SelfSupervisedTask]:
    """The task of a name or of an import path `package.module:NAME`. Raises SettingsError."""
    task = TASKS.find(name)
    if not (isinstance(task, type) and issubclass(task, SelfSupervisedTask)):
        raise SettingsError(f"task {name}: not a subclass of trainables.tasks.SelfSupervisedTask")
    if task.encoder not in (BACKBONE, *ENCODERS_OF_TEACHERS):
        valid = ", ".join([BACKBONE, *ENCODERS_OF_TEACHERS])
        raise SettingsError(f"task {name}: a task's encoder is one of {valid}, not {task.encoder}")
    if task.encoder != BACKBONE and name not in TASKS.entries:
        model = task.settings_model
        if not (isinstance(model, type) and issubclass(model, SelfSupervisedSettings)):
            raise SettingsError(f"task {name}: a teacher's task needs a settings_model that extends SelfSupervisedSettings")
    return task
