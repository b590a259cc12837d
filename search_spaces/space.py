"""What a search space is, and finding one by name.

A space says which settings vary, over what range, which of the paper's own rows come first, and by what a trial is judged.
It is define-by-run: `suggest` may ask for a parameter only when another has a certain value.

A space of your own is a file with a `SPACE`: `--space path/to/mine.py`, or `--space package.module:SPACE`.
`check_space` is the conformance check that the tests run on every space; run it on yours.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import keyword
import pkgutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, get_args

from search_spaces.papers import Row as Row
from search_spaces.papers import paper_tables
from trainables.presets import configure
from trainables.settings import ExperimentSettings, SettingsError
from trainables.suggestions import did_you_mean

Parameters = dict[str, Any]
Direction = Literal["maximize", "minimize"]
MEASURES = {
    "validation/top1": ("finetune", "as_given"),
    "validation/linear_probe": ("linear_probe",),
    "validation/retrieval": ("retrieval",),
}
"""Objectives, by how they begin, that only exist with one of these among `evaluation.measures`."""
OWN_MODULES = ("space", "papers", "paper_tables", "narrowing")
"""Modules of this package that are not a space."""


class Suggest(Protocol):
    """The part of an Optuna trial that a space may use; names are dotted setting names."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class SpaceError(ValueError):
    """No such space, or one that breaks the contract; the message says what is valid."""


@dataclass(frozen=True)
class Space:
    """A search space.

    base: settings that all its trials share. rows: the paper's own configurations, run first. suggest: draws the parameters
    of one further trial. grid: all points of an exhaustive search, where there can be one. objective: the metric that decides,
    on validation data; further: more of them, each with its direction, by any of which a configuration may be good. table,
    figure: the reports that show it. lookahead: a proposal is made from the results of all trials at least this many positions
    before it, and of no others; so proposals depend neither on the number of workers nor on which trial happens to end first.

    Raises SpaceError for what is of another kind, an objective on test data, an unknown direction, table or figure, and
    trials or a lookahead below 1.
    """

    name: str
    summary: str
    rows: tuple[Row, ...]
    suggest: Callable[[Suggest], Parameters]
    grid: Callable[[], list[Parameters]] | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "validation/top1"
    direction: Direction = "maximize"
    table: str | None = None
    figure: str | None = None
    trials: int = 12
    lookahead: int = 4
    further: tuple[tuple[str, Direction], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or not isinstance(self.summary, str):
            raise SpaceError(f"a space is called {self.name!r}, {self.summary!r}; expected a name and a summary in words")
        if not isinstance(self.rows, tuple) or not all(isinstance(row, Row) for row in self.rows):
            raise SpaceError(f"{self.name}: rows = {self.rows!r}; expected a tuple of Row(label, parameters)")
        for row in self.rows:
            if not isinstance(row.label, str) or not are_parameters(row.parameters):
                raise SpaceError(f"{self.name}: {row!r}; expected Row(label, parameters), parameters by the settings' names")
        if not are_parameters(self.base):
            raise SpaceError(f"{self.name}: base = {self.base!r}; expected values by the settings' names")
        if not callable(self.suggest) or not (self.grid is None or callable(self.grid)):
            raise SpaceError(f"{self.name}: suggest = {self.suggest!r} and grid = {self.grid!r}; expected functions")
        if not isinstance(self.further, tuple) or not all(isinstance(one, tuple) and len(one) == 2 for one in self.further):
            raise SpaceError(f"{self.name}: further = {self.further!r}; expected a tuple of (metric, direction)")
        for metric, direction in self.objectives:
            if not isinstance(metric, str):
                raise SpaceError(f"{self.name}: objective = {metric!r}; expected a metric's name")
            if metric.startswith("test/"):
                raise SpaceError(f"{self.name}: the objective '{metric}' is a test metric; a search sees validation only")
            if direction not in get_args(Direction):
                raise SpaceError(f"{self.name}: unknown direction '{direction}'; valid: {', '.join(get_args(Direction))}")
        if len({metric for metric, _ in self.objectives}) < len(self.objectives):
            raise SpaceError(f"{self.name}: an objective is named twice: {', '.join(metric for metric, _ in self.objectives)}")
        figures = [name for name, one in paper_tables().items() if one.is_figure]
        for report, named, valid in (("table", self.table, list(paper_tables())), ("figure", self.figure, figures)):
            if named is not None and named not in valid:
                raise SpaceError(f"{self.name}: unknown {report} {named!r}; valid: {', '.join(valid)}")
        if not all(isinstance(number, int) and number >= 1 for number in (self.lookahead, self.trials)):
            raise SpaceError(
                f"{self.name}: lookahead = {self.lookahead!r} and trials = {self.trials!r}; both are whole numbers from 1"
            )

    @property
    def objectives(self) -> tuple[tuple[str, Direction], ...]:
        """The metric that decides, and those beside it, each with its direction."""
        return ((self.objective, self.direction), *self.further)

    def draw(self, trial: Suggest) -> Parameters:
        """The parameters of a further trial. Raises SpaceError for whatever goes wrong in `suggest`."""
        with _told_by(f"{self.name}: suggest() fails"):
            parameters = self.suggest(trial)
        if not isinstance(parameters, dict) or not are_parameters(parameters):
            raise SpaceError(f"{self.name}: suggest() gives {parameters!r}, not parameters by name")
        return parameters

    def points(self) -> list[Parameters]:
        """All points of the grid. Raises SpaceError where there is none, and for whatever goes wrong in `grid`."""
        if self.grid is None:
            raise SpaceError(f"{self.name} has no grid: search it by tpe or random, or give its Space a grid")
        with _told_by(f"{self.name}: grid() fails"):
            points = self.grid()
        if not isinstance(points, list) or not all(map(are_parameters, points)):
            raise SpaceError(f"{self.name}: grid() gives {points!r}, not a list of parameters by name")
        return points

    def named(self) -> list[Parameters]:
        """Every configuration that the space names: its rows, and the points of its grid where there is one."""
        return [*(dict(row.parameters) for row in self.rows), *(self.points() if self.grid else ())]


def are_parameters(given: Any) -> bool:
    """Whether a space's author has given values by name."""
    return isinstance(given, Mapping) and all(isinstance(name, str) for name in given)


def space_names() -> list[str]:
    """Names of the spaces that come with the project; `lambda` is the file lambda_.py."""
    package = importlib.import_module("search_spaces")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.removesuffix("_") for name in names if name not in OWN_MODULES)


def find_space(name: str) -> Space:
    """The space of this name, of a file, or of `package.module:ATTRIBUTE`. Raises SpaceError."""
    module_name, _, attribute = (name, "", "") if name.endswith(".py") else name.partition(":")
    attribute = attribute or "SPACE"
    with _told_by(f"cannot import the space {name}"):
        if name in space_names():
            module = importlib.import_module(f"search_spaces.{name}{'_' if keyword.iskeyword(name) else ''}")
        elif name.endswith(".py"):
            module = _module_of_file(name)
        elif ":" in name and all(map(str.isidentifier, [*module_name.split("."), attribute])):
            module = importlib.import_module(module_name)
        else:
            raise SpaceError(
                f"unknown space '{name}'; valid spaces: {', '.join(space_names())}, a file.py, or package.module:SPACE"
                + did_you_mean(name, space_names())
            )
    space = getattr(module, attribute, None)
    if not isinstance(space, Space):
        raise SpaceError(f"{name}: '{attribute}' is not a search_spaces.space.Space")
    return space


def _module_of_file(name: str) -> ModuleType:
    if not Path(name).is_file():
        raise SpaceError(f"there is no file {name}")
    specification = importlib.util.spec_from_file_location(Path(name).stem, name)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _told_by(failure: str) -> Iterator[None]:
    """Makes of what a space's own code raises one line: the failure, file and line, the exception."""
    try:
        yield
    except (SpaceError, KeyboardInterrupt):
        raise
    except BaseException as error:  # what a space's own code may raise has no bounds
        said = " ".join(f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}".split())
        raise SpaceError(": ".join([failure, *_place_of(error), said])) from None


def _place_of(error: BaseException) -> list[str]:
    """File and line where a space's own code was when the error was raised; nothing where it was not even reached."""
    if isinstance(error, SyntaxError) and error.filename:
        return [f"{error.filename}, line {error.lineno}"]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    of_space = [frame for frame in frames if frame.filename == frames[0].filename]
    return [f"{frame.filename}, line {frame.lineno}" for frame in of_space[-1:]]


def _is_machinery(filename: str) -> bool:
    """Whether a frame is of what loads and calls spaces, not of a space."""
    path = Path(filename)
    own = path.parent == Path(__file__).parent and path.stem in OWN_MODULES
    return own or filename == importlib.__file__ or filename.startswith("<frozen importlib")


@dataclass
class Probe:
    """Answers suggestions by the value given, or else the lower end or the first choice; notes what was asked, in words."""

    answers: Mapping[str, Any]
    asked: dict[str, str] = field(default_factory=dict)
    choices: dict[str, Sequence[Any]] = field(default_factory=dict)

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        return self._number(name, low, high, "log" if log else f"in steps of {step:g}" if step else "")

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        return self._number(name, low, high, "log" if log else f"in steps of {step}" if step > 1 else "")

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked[name] = ", ".join(map(str, choices))
        self.choices[name] = choices
        return self.answers.get(name, choices[0])

    def _number(self, name: str, low: float, high: float, how: str) -> Any:
        self.asked[name] = f"{low:g}" if low == high else f"{low:g} to {high:g}" + (f", {how}" if how else "")
        return self.answers.get(name, low)


def check_space(space: Space, preset_name: str, changes: Mapping[str, Any] | None = None) -> None:
    """Raises SpaceError or SettingsError unless every configuration the space names is valid at a preset with `changes`.

    Checked: base, rows, grid and one suggestion validate; rows differ in label and parameters; a row varies what `suggest`
    asks for; the objective is measured.
    """

    def configured(parameters: Mapping[str, Any]) -> ExperimentSettings:
        return configure(preset_name, {**space.base, **(changes or {}), **parameters})

    for parameters in [{}, *space.named()]:
        configured(parameters)
    try:
        configured(space.draw(Probe({})))
    except SettingsError as error:
        raise SpaceError(f"{space.name}: suggest() gives an invalid configuration: {error}") from None
    for beginning, measures in MEASURES.items():
        if space.objective.startswith(beginning) and not {*measures} & {*configured({}).evaluation.measures}:
            needed = " or ".join(f"'{measure}'" for measure in measures)
            raise SpaceError(f"{space.name}: the objective '{space.objective}' needs {needed} among evaluation.measures")
    for row in space.rows:
        trial = Probe(row.parameters)
        suggested = space.draw(trial)
        if suggested != dict(row.parameters) or trial.asked.keys() != row.parameters.keys():
            raise SpaceError(
                f"{space.name}: row '{row.label}' has {dict(row.parameters)}, but suggest() makes {suggested} of it"
            )
    for number, row in enumerate(space.rows):
        for other in space.rows[:number]:
            if row.label == other.label or row.parameters == other.parameters:
                raise SpaceError(f"{space.name}: rows '{other.label}' and '{row.label}' are the same configuration or label")
