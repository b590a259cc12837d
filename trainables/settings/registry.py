"""What settings may name: tasks, networks and data layouts, those of the package and anybody's own.

A name is one of those listed here, or an import path `package.module:NAME` of a thing from elsewhere, or NAME in a file,
`mine/rotation.py:Rotation`, which settings keep as the import path `rotation:Rotation`. Nothing is imported before it is asked
for, so settings stay light. Something new inside the package is a file and an entry here.
"""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from trainables.settings.base import SettingsError
from trainables.suggestions import did_you_mean

ELSEWHERE = "or package.module:NAME, or file.py:NAME"
"""What names of things from outside the package look like, for messages."""

_folders: list[str] = []


def is_import_path(name: str) -> bool:
    """Whether a name has the form `package.module:NAME`."""
    module, colon, attribute = name.partition(":")
    parts = [*module.split("."), attribute]
    return bool(colon) and parts[-2] != "py" and all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)


@dataclass(frozen=True)
class Registry:
    """Things of one sort by name. what: the sort, for messages. entries: name -> import path."""

    what: str
    entries: Mapping[str, str]

    def check(self, name: str) -> str:
        """The name as settings keep it. Raises ValueError, saying what is valid, for what is neither here nor elsewhere."""
        if name in self:
            return name
        if is_in_file(name):
            return import_path_of(name)
        raise ValueError(f"unknown {self.what} '{name}'{did_you_mean(name, list(self.entries))}; valid: {self.valid}")

    def __contains__(self, name: str) -> bool:
        return name in self.entries or is_import_path(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    @property
    def valid(self) -> str:
        """What names there are, for messages."""
        return f"{', '.join(self.entries)}, {ELSEWHERE}"

    def find(self, name: str) -> Any:
        """The thing itself. Raises SettingsError, with what went wrong, for what is not there or cannot be imported."""
        try:
            name = self.check(name)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        module, _, attribute = self.entries.get(name, name).partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except (Exception, SystemExit) as error:  # of somebody's own code: whatever it may be
            raise SettingsError(f"{self.what} {name}: {module} cannot be imported: {type(error).__name__}: {error}") from error
        if found is None:
            raise SettingsError(f"{self.what} {name}: {module} has no {attribute}")
        return found


_OF_TEACHERS = {
    "sorting": "trainables.tasks.sorting:Sorting",
    "ego_motion": "trainables.tasks.ego_motion:EgoMotion",
    "tracking": "trainables.tasks.tracking:Tracking",
    "prediction": "trainables.tasks.prediction:Prediction",
}
_OF_BACKBONE = {
    "vspp": "trainables.tasks.vspp:VSPP",
    "video_pace": "trainables.tasks.video_pace:VideoPace",
    "vcop": "trainables.tasks.vcop:VCOP",
    "rspnet": "trainables.tasks.rspnet:RSPNet",
}
TASKS = Registry("task", {**_OF_BACKBONE, **_OF_TEACHERS})
PRETEXT_TASKS, TEACHER_TASKS = tuple(_OF_BACKBONE), tuple(_OF_TEACHERS)
"""Those of the backbone; those of graph distillation's teachers, in the order in which these are named."""

BACKBONES = Registry(
    "backbone",
    {
        "r2plus1d": "trainables.models.resnet3d:VideoResNet",
        "r3d": "trainables.models.resnet3d:VideoResNet",
        "c3d": "trainables.models.c3d:C3D",
    },
)
ENCODERS = Registry(
    "encoder",
    {
        "vgg": "trainables.models.vgg:VGG",
        "prednet": "trainables.models.prednet:PredNet",
        "alexnet": "trainables.models.alexnet:AlexNet",
    },
)
"""By the name of the group of their settings."""

LAYOUTS = Registry(
    "data set",
    {
        "ucf101": "trainables.video.layouts.ucf101:LAYOUT",
        "hmdb51": "trainables.video.layouts.hmdb51:LAYOUT",
        "ccv": "trainables.video.layouts.ccv:LAYOUT",
        "ssv2": "trainables.video.layouts.ssv2:LAYOUT",
        "diving48": "trainables.video.layouts.diving48:LAYOUT",
        "lists": "trainables.video.layouts.lists:LAYOUT",
        "kinetics100": "trainables.video.layouts.kinetics100:LAYOUT",
        "kinetics400": "trainables.video.layouts.kinetics400:LAYOUT",
        "folder": "trainables.video.layouts.folder:LAYOUT",
    },
)
"""In the order in which layouts are recognised."""

TaskName = Annotated[str, AfterValidator(TASKS.check)]
BackboneName = Annotated[str, AfterValidator(BACKBONES.check)]


def is_in_file(name: str) -> bool:
    """Whether a name has the form `file.py:NAME`."""
    place, _, attribute = name.rpartition(":")
    return place.endswith(".py") and attribute.isidentifier()


def import_path_of(name: str) -> str:
    """`mine/rotation.py:Rotation` as `rotation:Rotation`, with the file's folder on the import path.

    So neither keys nor ledgers hold a path. Raises ValueError for a file that is not there, and for one whose name belongs to
    another module.
    """
    place, _, attribute = name.rpartition(":")
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise ValueError(f"{name}: there is no file {path}")
    if not path.stem.isidentifier():
        raise ValueError(f"{name}: a file that is imported has a name of letters, digits and _, not {path.name}")
    use_folders([str(path.parent)])
    known = importlib.util.find_spec(path.stem)
    if known is None or known.origin is None or Path(known.origin).resolve() != path:
        raise ValueError(f"{name}: {path.name} bears the name of another module ({path.stem}); rename the file")
    return f"{path.stem}:{attribute}"


def names_as_kept(names: str) -> str:
    """Names joined by +, those in files by import path. Raises ValueError."""
    return "+".join(import_path_of(name) if is_in_file(name) else name for name in names.split("+"))


def folders_in_use() -> list[str]:
    """Folders of files that settings named: another process that reads these settings needs them on its import path too."""
    return list(_folders)


def use_folders(folders: Sequence[str]) -> None:
    """Put folders on the import path, behind all that is there."""
    _folders.extend(folder for folder in folders if folder not in _folders)
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    importlib.invalidate_caches()
