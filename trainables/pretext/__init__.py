"""Pretext tasks by name. A new one is a new file and a line here."""

from trainables.pretext.task import PretextTask
from trainables.pretext.vspp import VSPP

TASKS: dict[str, type[PretextTask]] = {"vspp": VSPP}

__all__ = ["TASKS", "PretextTask"]
