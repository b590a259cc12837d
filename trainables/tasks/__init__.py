"""Self-supervised tasks: those of pretext tasks and of graph distillation's teachers. Their names: `TASKS` of the settings."""

from __future__ import annotations

import inspect

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
    if problem := _broken(task):
        raise SettingsError(f"task {name}: {problem}")
    if task.encoder not in (BACKBONE, *ENCODERS_OF_TEACHERS):
        valid = ", ".join([BACKBONE, *ENCODERS_OF_TEACHERS])
        raise SettingsError(f"task {name}: a task's encoder is one of {valid}, not {task.encoder}")
    if task.encoder != BACKBONE and name not in TASKS.entries:
        model = task.settings_model
        if not (isinstance(model, type) and issubclass(model, SelfSupervisedSettings)):
            raise SettingsError(f"task {name}: a teacher's task needs a settings_model that extends SelfSupervisedSettings")
    return task


def _broken(task: type[SelfSupervisedTask]) -> str | None:
    """What a class lacks to be a task at all."""
    if missing := sorted(task.__abstractmethods__):
        return f"it has no {', '.join(missing)}"
    if not str(getattr(task, "name", "")).isidentifier():
        return "it needs a `name`, an identifier, under which its settings and metrics go"
    for reads in ("reads", "reads_for_views"):
        if not isinstance(inspect.getattr_static(task, reads), classmethod):
            return f"`{reads}` is a class method of the settings that gives a tuple of names: @classmethod, (cls, settings)"
    fields = {} if task.settings_model is None else task.settings_model.model_fields
    if open_fields := [field for field, about in fields.items() if about.is_required()]:
        return f"its setting {task.name}.{open_fields[0]} has no default; every setting needs one"
    return None
