"""What a sweep command asked for, made into a Sweep: space or table, data sets, stand-ins, settings and name.

Imports neither torch nor Optuna before a Sweep is made.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.halving import Rungs
from harness.identity import Confirm
from harness.redaction import without_secrets
from search_spaces.narrowing import Range, narrowed, varied
from search_spaces.paper_tables import table_space
from search_spaces.space import Direction, Space, SpaceError, check_space, find_space, space_names
from trainables.files import digest
from trainables.presets import configure
from trainables.settings import BACKBONES, ENCODERS, LAYOUTS, DataSettings, check_values, setting_names
from trainables.video.layouts import recognise_layout
from trainables.video.videos import DataSource

if TYPE_CHECKING:
    from harness.reuse import Policy
    from harness.trials import Sweep
    from trainables.runtime import Runtime

EMBEDDED = "embedded"
BRING_GROUPS = ("pretext.task", "teachers.tasks")
"""Settings that name tasks; one from outside the package has settings of its own, which are set for all trials with it."""
STUDENT = "alexnet"
"""Whose weights are used by `student.initialisation` in whatever form it has."""
STANDING_IN = ("demo", "small")
"""Presets at which embedded clips take the place of every data set when no data are given at all."""
WEIGHTS = "weights.safetensors"
LONGEST_NAME = 100
"""Characters of a sweep's name: it is a directory and a W&B group."""


FEWEST_TO_CONFIRM = 2
"""Seeds beside those of the search."""


class RequestError(ValueError):
    """Options that name nothing or do not go together; the message says what is valid."""


@dataclass(frozen=True)
class Request:
    """The options of a command that say what is run. space and table: one of them is given.

    changes: settings by name; what the space varies is pinned by them, all else is set for every trial. ranges: to which
    parameters of the space are narrowed. seeds: by which the search judges, or, with `confirm`, with which so many of its best
    and the paper's rows are run then; sequential: where effects are undecided with more. objectives: instead of those of the
    space. rungs: of successive halving.
    """

    space: str | None
    table: str | None
    preset: str
    changes: Mapping[str, Any]
    stand_ins: Mapping[str, str]
    search: str
    trials: int | None
    seeds: int
    name: str | None
    runs_dir: Path
    ranges: Mapping[str, Range] = field(default_factory=dict)
    code: Policy = "auto"
    fresh: Sequence[str] = ()
    objectives: Sequence[tuple[str, Direction]] = ()
    confirm: int | None = None
    sequential: bool = False
    rungs: Rungs | None = None

    def sweep(self, runtime: Runtime) -> Sweep:
        """Raises SpaceError, SettingsError, RequestError or DataError."""
        from harness.trials import Sweep, complete_trials, seeds_of_search

        whole = self._whole_space()
        space, pinned = self._narrowed(whole)
        given = [name for name, _ in runtime.sources]
        values = {**settings_of_weights(runtime.weights), **self.values(space, given)}
        check_space(space, self.preset, values)
        named = self._named_sets(space, values)
        runtime = replace(runtime, stand_ins=all_stand_ins(self.stand_ins, named, given, self.preset))
        name = self._name(space, named, runtime)
        trials = self._configurations(space)
        if trials < 1:
            raise SpaceError(f"nothing is left of {space.name}'s rows and grid")
        first = seeds_of_search(self.runs_dir / name) if self.confirm is not None else self.seeds
        confirm = self._confirm(space, first)
        if self.rungs:
            self._check_halving(self.rungs, space)
        return Sweep(
            name=name,
            directory=self.runs_dir / name,
            space=space,
            preset=self.preset,
            values=values,
            search=self.search,
            trials=trials,
            seeds=first,
            runtime=runtime,
            command=without_secrets(shlex.join(["python", "harness/sweep.py", *sys.argv[1:]])),
            elsewhere=complete_trials(self.runs_dir, name) if self.table and not confirm else {},
            narrowing={**pinned, **{name: str(one) for name, one in self.ranges.items()}},
            rows_left_out=len(whole.rows) - len(space.rows),
            code=self.code,
            fresh=tuple(dict.fromkeys(self.fresh)),
            confirm=confirm,
            rungs=self.rungs,
        )

    def _check_halving(self, rungs: Rungs, space: Space) -> None:
        """Raises RequestError."""
        if space.further:
            names = ", ".join(name for name, _ in space.objectives)
            raise RequestError(f"--scheduler halving goes by one objective, and {space.name} has {names}")
        if not space.objective.startswith("validation/"):
            raise RequestError(
                f"--scheduler halving: rungs are compared by a metric on validation videos, and {space.name} goes by "
                f"{space.objective}: --objective validation/top1 is one"
            )
        varies = varied(space)
        group = rungs.setting.rpartition(".")[0]
        for name in (rungs.setting, f"{group}.schedule"):
            if name in varies:
                raise RequestError(f"--rungs: {space.name} varies {name}: --set {name}=VALUE pins it")

    def _confirm(self, space: Space, first: int) -> Confirm | None:
        """first: how many seeds the search has. Raises RequestError."""
        if self.confirm is None:
            return None
        if not space.objective.startswith("validation/"):
            raise RequestError(
                f"--confirm {self.confirm}: the best are those by a metric on validation videos, and {space.name} goes by "
                f"{space.objective}"
            )
        if self.confirm == 0 and not space.rows:
            raise RequestError(f"--confirm 0: {space.name} has no rows of a paper, so there is nothing to confirm")
        if self.seeds < first + FEWEST_TO_CONFIRM:
            raise RequestError(
                f"--confirm {self.confirm} --seeds {self.seeds}: at least {first + FEWEST_TO_CONFIRM} seeds, as "
                f"{'one chooses' if first == 1 else f'{first} choose'} and {FEWEST_TO_CONFIRM} others are the least that tell "
                "two configurations apart"
            )
        return Confirm(self.confirm, self.seeds, first, self.sequential)

    def searched(self) -> tuple[Space | None, dict[str, Any]]:
        """The narrowed space, and which of its parameters are pinned to what; no space where the options name none.

        Raises SpaceError or SettingsError.
        """
        if self.space is None and self.table is None and not self.ranges:
            return None, {}
        return self._narrowed(self._whole_space())

    def values(self, space: Space | None, given: Sequence[str]) -> dict[str, Any]:
        """What is set over the preset for all trials. given: names of the data sets that are given. Raises RequestError."""
        if space is None:
            return {**self._roles(given, {}), **self.changes}
        varies = varied(space) if self.changes else {}
        fixed = {name: value for name, value in self.changes.items() if name not in varies or name in BRING_GROUPS}
        said = {*space.base, *(name for row in space.rows for name in row.parameters)}
        return {**self._roles(given, said), **space.base, **fixed}

    def _whole_space(self) -> Space:
        """With the objectives that are asked for."""
        space = self._found_space()
        if not self.objectives:
            return space
        (objective, direction), *further = self.objectives
        return replace(space, objective=objective, direction=direction, further=tuple(further))

    def _found_space(self) -> Space:
        if self.table is not None:
            if self.space is not None or self.trials is not None:
                raise SpaceError("--table runs the rows of a table: it goes neither with --space nor with --trials")
            return table_space(self.table, self.preset)
        if self.space is None:
            raise SpaceError(f"--space or --table is missing; valid spaces: {', '.join(space_names())}")
        return find_space(self.space)

    def _narrowed(self, space: Space) -> tuple[Space, dict[str, Any]]:
        """The space without what the changes and ranges exclude, and those changes that pin a parameter of it."""
        if not self.changes and not self.ranges:
            return space, {}
        varies = varied(space)
        pinned = {name: value for name, value in self.changes.items() if name in varies}
        check_values({name: value for name, value in pinned.items() if name in setting_names()})
        return (narrowed(space, pinned, self.ranges) if pinned or self.ranges else space), pinned

    def _roles(self, given: Sequence[str], said: Collection[str]) -> dict[str, str]:
        """One data set given serves for pretraining and downstream; a table and a space say otherwise if they want.

        said: settings that the space sets.
        """
        if len(given) == 1:
            return {"data.pretraining": given[0], "data.downstream": given[0]}
        if len(given) > 1 and not {"data.pretraining", "data.downstream"} <= {*self.changes, *said}:
            raise RequestError(
                "with several --data say which is for what: --set data.pretraining=NAME --set data.downstream=NAME"
            )
        return {}

    def _named_sets(self, space: Space, values: Mapping[str, Any]) -> list[str]:
        """Every data set that a configuration of the space names."""
        names: dict[str, None] = {}
        for parameters in space.named() + [{}] * (not space.rows):
            data: DataSettings = configure(self.preset, {**values, **parameters}).data
            names |= dict.fromkeys((*data.pretraining_sets, *data.downstream_sets))
        for name in names:
            try:
                if name != EMBEDDED:
                    LAYOUTS.check(name)
            except ValueError as error:
                raise RequestError(f"{error}, or {EMBEDDED}") from None
        return list(names)

    def _name(self, space: Space, named: Sequence[str], runtime: Runtime) -> str:
        parts = [space.name.replace("/", "-"), self.preset]
        parts += [name.replace(":", "-") for name in sorted(named) if name != EMBEDDED] if not self.table else []
        parts += [self.search.replace(":", "-")] if self.search != "tpe" else []
        parts += ["halving"] if self.rungs else []
        objectives = {"objectives": [list(one) for one in self.objectives]} if self.objectives else {}
        changes = {
            **self.changes,
            **self.stand_ins,
            **objectives,
            **({"rungs": asdict(self.rungs)} if self.rungs else {}),
            **{f"range of {name}": str(one) for name, one in self.ranges.items()},
        }
        parts += [digest(changes)[:6]] if changes else []
        name = self.name or "-".join(parts)
        if Path(name).name != name or name == "..":
            raise RequestError(f"--name {name!r}: a plain name, without a path")
        if len(name.encode(errors="replace")) > LONGEST_NAME or not name.isprintable():
            raise RequestError(f"--name {name[:20]!r}...: at most {LONGEST_NAME} characters, all of them printable")
        if (self.runs_dir / name).absolute() in (runtime.store, (self.runs_dir / "cache").absolute()):
            raise RequestError(f"--name {name!r}: {self.runs_dir / name} is where finished stages or decoded frames are kept")
        return name

    def _configurations(self, space: Space) -> int:
        named = len(space.rows) + len(space.points()) if self.search == "grid" else space.trials
        return self.trials or named


def data_sources(data: Sequence[str], splits: Sequence[str]) -> tuple[tuple[str, DataSource], ...]:
    """The sources that `--data [NAME=]DIR` and `--splits NAME=PATH` name. Raises RequestError."""
    named = [_named_root(value) for value in data]
    roots, lists = dict(named), dict(_named_path("--splits", value) for value in splits)
    if len(roots) < len(named):
        raise RequestError(f"--data names a set twice: {', '.join(name for name, _ in named)}")
    if lonely := sorted(lists.keys() - roots.keys()):
        raise RequestError(f"--splits names {', '.join(lonely)}, which no --data gives")
    return tuple((name, DataSource(root, lists.get(name))) for name, root in sorted(roots.items()))


def _named_root(value: str) -> tuple[str, Path]:
    if "=" in value:
        return _named_path("--data", value)
    root = Path(value).expanduser().absolute()
    name = recognise_layout(root) if root.is_dir() else None
    if name is None:
        raise RequestError(
            f"--data {value!r}: no layout is recognised there; say which: NAME={value}, NAME one of {LAYOUTS.valid}"
        )
    return name, root


def _named_path(option: str, value: str) -> tuple[str, Path]:
    name, equals, text = value.partition("=")
    if not equals or not text:
        raise RequestError(f"{option} {value!r}: expected NAME=PATH, for example {option} ucf101=/data/UCF-101")
    name = _data_set(option, name)
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise RequestError(f"{option} {value!r}: there is nothing at {text}")
    return name, path


def _data_set(asked_by: str, name: str) -> str:
    """The name under which settings know a data set; one in a file of its own by import path."""
    try:
        return LAYOUTS.check(name)
    except ValueError as error:
        raise RequestError(f"{asked_by}: {error}") from None


def all_stand_ins(
    chosen: Mapping[str, str], named: Sequence[str], given: Sequence[str], preset: str
) -> tuple[tuple[str, str], ...]:
    """(name, other) of what is read in a data set's place: what was chosen, and what follows where no data are given at all.

    named: the data sets that settings name; given: those with `--data`. Raises RequestError.
    """
    chosen = dict(chosen)
    for name, other in chosen.items():
        if name not in LAYOUTS or not set(other.split("+")) <= {EMBEDDED, *given}:
            raise RequestError(
                f"--stand-in {name}={other}: expected NAME=OTHER, NAME one of {LAYOUTS.valid}; "
                f"OTHER one of {', '.join([EMBEDDED, *given])}, or several joined by +"
            )
    missing = [name for name in named if name not in (EMBEDDED, *given, *chosen)]
    if missing and not given and preset in STANDING_IN:
        chosen |= dict.fromkeys(missing, EMBEDDED)
    elif missing:
        raise RequestError(
            f"where {', '.join(missing)} lies is not known: give --data {missing[0]}=DIR, or what is read in its place "
            f"with --stand-in {missing[0]}=OTHER ({', '.join([EMBEDDED, *given])})"
        )
    return tuple(sorted(chosen.items()))


def settings_of_weights(files: Sequence[tuple[str, Path]]) -> dict[str, Any]:
    """What belongs to weights of a backbone, or of a teacher's network, is set for all trials: its form, and its pixels.

    Raises RequestError for a file that cannot be read, or of another network.
    """
    if not files:
        return {}
    from trainables.models.imported import described

    values: dict[str, Any] = {}
    for network, path in files:
        if network == STUDENT:
            continue
        try:
            found = described(path)
        except ValueError as error:
            raise RequestError(f"--weights {network}={error}") from None
        if found.network != network:
            raise RequestError(f"--weights {network}={path}: these are weights of {found}: --weights {found.network}={path}")
        values |= found.settings
    return values


def named_stand_ins(values: Sequence[str]) -> dict[str, str]:
    """`NAME=OTHER` of `--stand-in`. Raises RequestError."""
    pairs = {}
    for value in values:
        name, equals, other = value.partition("=")
        if not equals or not name or not other:
            raise RequestError(f"--stand-in {value!r}: expected NAME=OTHER, for example kinetics100=embedded")
        pairs[name] = other
    return pairs


def weights_files(values: Sequence[str], runs_dir: Path, store: Path) -> tuple[tuple[str, Path], ...]:
    """The files that `--weights NETWORK=WHAT` names: WHAT is a file, a directory that `export` made, an artifact of the store
    by its key, or a trial on record below `runs_dir`. Raises RequestError."""
    found: dict[str, Path] = {}
    for value in values:
        network, _, text = value.partition("=")
        if network not in (*BACKBONES, *ENCODERS) or not text:
            networks = ", ".join((*BACKBONES, *ENCODERS))
            raise RequestError(f"--weights {value!r}: expected NETWORK=FILE, NETWORK one of {networks}")
        path = Path(text).expanduser().absolute()
        try:
            path = path if path.is_file() else weights_at(text, path, network, runs_dir, store)
            others = not found.setdefault(network, path).samefile(path)
        except (ValueError, OSError) as error:
            raise RequestError(f"--weights {value!r}: {error}") from None
        if others:
            raise RequestError(f"--weights gives {network} twice: {found[network]} and {path}")
    return tuple(sorted(found.items()))


def weights_at(text: str, path: Path, network: str, runs_dir: Path, store: Path) -> Path:
    """Of an exported directory, an artifact or a trial. Raises ValueError or OSError."""
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise RequestError(f"there is no {WEIGHTS} in {text}")
        return path / WEIGHTS
    if not text.startswith("best-of:") and (Path(text).suffix or Path(text).is_absolute()):
        raise RequestError(f"there is no file {text}")
    from harness.trained import artifact_of

    return artifact_of(text, network, runs_dir, store).directory / WEIGHTS
