"""Pretext tasks by name. A new one is a new file and a line here."""

from trainables.pretext.rspnet import RSPNet
from trainables.pretext.task import PretextTask
from trainables.pretext.vcop import VCOP
from trainables.pretext.video_pace import VideoPace
from trainables.pretext.vspp import VSPP

TASKS: dict[str, type[PretextTask]] = {"vspp": VSPP, "video_pace": VideoPace, "vcop": VCOP, "rspnet": RSPNet}

__all__ = ["TASKS", "PretextTask"]
