"""What a search space is, and finding one by name.

A space says which settings vary, over what range, which of the paper's own rows come first, and by what a trial is judged.
It is define-by-run: `suggest` may ask for a parameter only when another has a certain value.

A space of your own is a file with a `SPACE`: `--space path/to/mine.py`, or `--space package.module:SPACE`.
`check_space` is the conformance check that the tests run on every space; run it on yours.
"""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from trainables.presets import configure
from trainables.settings import ExperimentSettings, SettingsError

Parameters = dict[str, Any]
MEASURES = {"validation/top1": "finetune", "validation/linear_probe": "linear_probe", "validation/retrieval": "retrieval"}
"""Objectives, by how they begin, that only exist with one of `evaluation.measures`."""
OWN_MODULES = ("space", "papers", "paper_tables", "narrowing")
"""Modules of this package that are not a space."""


class Suggest(Protocol):
    """The part of an Optuna trial that a space may use; names are dotted setting names."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class Row:
    """A configuration that the paper reports, by the label its table gives it."""

    label: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Space:
    """A search space.

    base: settings that all its trials share. rows: the paper's own configurations, run first. suggest: draws the parameters
    of one further trial. grid: all points of an exhaustive search. objective: the metric that decides, on validation data.
    table, figure: the reports that show it. lookahead: a proposal is made from the results of all trials at least this many
    positions before it, and of no others; so proposals depend neither on the number of workers nor on which trial happens to
    end first.
    """

    name: str
    summary: str
    rows: tuple[Row, ...]
    suggest: Callable[[Suggest], Parameters]
    grid: Callable[[], list[Parameters]]
    base: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "validation/top1"
    direction: Literal["maximize", "minimize"] = "maximize"
    table: str | None = None
    figure: str | None = None
    trials: int = 12
    lookahead: int = 4


class SpaceError(ValueError):
    """No such space, or one that breaks the contract; the message says what is valid."""


def space_names() -> list[str]:
    """Names of the spaces that come with the project; `lambda` is the file lambda_.py."""
    package = importlib.import_module("search_spaces")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.removesuffix("_") for name in names if name not in OWN_MODULES)


def find_space(name: str) -> Space:
    """The space of this name, of a file, or of `package.module:ATTRIBUTE`. Raises SpaceError."""
    if name in space_names():
        module = importlib.import_module(f"search_spaces.{name}{'_' if keyword.iskeyword(name) else ''}")
    elif name.endswith(".py"):
        if not Path(name).is_file():
            raise SpaceError(f"there is no file {name}")
        specification = importlib.util.spec_from_file_location(Path(name).stem, name)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    elif ":" in name:
        try:
            module = importlib.import_module(name.partition(":")[0])
        except ImportError as error:
            raise SpaceError(f"cannot import the space {name}: {error}") from None
    else:
        raise SpaceError(
            f"unknown space '{name}'; valid spaces: {', '.join(space_names())}, a file.py, or package.module:SPACE"
        )
    attribute = name.partition(":")[2] or "SPACE"
    space = getattr(module, attribute, None)
    if not isinstance(space, Space):
        raise SpaceError(f"{name}: '{attribute}' is not a search_spaces.space.Space")
    return space


class _Answers:
    """Answers a suggestion with a row's value, or else with the lower end of the range; notes what was asked."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.asked: set[str] = set()

    def _answer(self, name: str, otherwise: Any) -> Any:
        self.asked.add(name)
        return self.values.get(name, otherwise)

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> Any:
        return self._answer(name, low)

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> Any:
        return self._answer(name, low)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name, choices[0])


def check_space(space: Space, preset_name: str, changes: Mapping[str, Any] | None = None) -> None:
    """Raises SpaceError or SettingsError unless every configuration the space names is valid at a preset with `changes`.

    Checked: base, rows, grid and one suggestion validate; rows differ in label and parameters; a row varies what `suggest`
    asks for; the objective is not a test metric; lookahead and trials are at least 1.
    """
    if space.objective.startswith("test/"):
        raise SpaceError(f"{space.name}: the objective '{space.objective}' is a test metric; a search sees validation only")
    if space.lookahead < 1 or space.trials < 1:
        raise SpaceError(f"{space.name}: lookahead = {space.lookahead} and trials = {space.trials}; both are at least 1")

    def configured(parameters: Mapping[str, Any]) -> ExperimentSettings:
        return configure(preset_name, {**space.base, **(changes or {}), **parameters})

    for parameters in [{}, *(row.parameters for row in space.rows), *space.grid()]:
        configured(parameters)
    try:
        configured(space.suggest(_Answers({})))
    except SettingsError as error:
        raise SpaceError(f"{space.name}: suggest() gives an invalid configuration: {error}") from None
    for beginning, measure in MEASURES.items():
        if space.objective.startswith(beginning) and measure not in configured({}).evaluation.measures:
            raise SpaceError(f"{space.name}: the objective '{space.objective}' needs '{measure}' among evaluation.measures")
    for row in space.rows:
        trial = _Answers(row.parameters)
        suggested = space.suggest(trial)
        if suggested != dict(row.parameters) or trial.asked != set(row.parameters):
            raise SpaceError(
                f"{space.name}: row '{row.label}' has {dict(row.parameters)}, but suggest() makes {suggested} of it"
            )
    for place, row in enumerate(space.rows):
        for other in space.rows[:place]:
            if row.label == other.label or row.parameters == other.parameters:
                raise SpaceError(f"{space.name}: rows '{other.label}' and '{row.label}' are the same configuration or label")
