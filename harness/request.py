"""What a sweep command asked for, made into a Sweep: space or table, data sets, stand-ins, settings and name."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.ledger import FILE_NAME, Record, read_records
from harness.planner import Sweep, SweepError
from harness.searcher import Search
from search_spaces.paper_tables import table_space
from search_spaces.space import Space, SpaceError, check_space, find_space, space_names
from trainables.files import digest
from trainables.pipeline import PROTOCOL
from trainables.presets import configure
from trainables.runtime import Runtime
from trainables.settings import DataSettings
from trainables.video.layouts import LAYOUTS, DataSource, recognise_layout

EMBEDDED = "embedded"
WEIGHTS = ("alexnet",)
"""Networks for which a user may give weights to start from."""
STANDING_IN = ("demo", "small")
"""Presets at which embedded clips take the place of every data set when no data are given at all."""


@dataclass(frozen=True)
class Request:
    """The options of a command that say what is run. space and table: one of them is given."""

    space: str | None
    table: str | None
    preset: str
    changes: Mapping[str, Any]
    stand_ins: Mapping[str, str]
    search: Search
    trials: int | None
    seeds: int
    name: str | None
    runs_dir: Path

    def sweep(self, runtime: Runtime) -> Sweep:
        """Raises SpaceError, SettingsError, SweepError or DataError."""
        space = self._space()
        given = [name for name, _ in runtime.sources]
        values = {**self._roles(given, space), **space.base, **self.changes}
        check_space(space, self.preset, values)
        self._refuse_changes_of_what_varies(space)
        named = self._named_sets(space, values)
        runtime = replace(runtime, stand_ins=self._stand_ins(named, given))
        name = self._name(space, named)
        return Sweep(
            name=name,
            directory=self.runs_dir / name,
            space=space,
            preset=self.preset,
            values=values,
            search=self.search,
            trials=self._configurations(space),
            seeds=self.seeds,
            runtime=runtime,
            command=shlex.join(["python", "harness/sweep.py", *sys.argv[1:]]),
            elsewhere=_complete_trials(self.runs_dir, name) if self.table else {},
        )

    def _space(self) -> Space:
        if self.table is not None:
            if self.space is not None or self.trials is not None:
                raise SpaceError("--table runs the rows of a table: it goes neither with --space nor with --trials")
            return table_space(self.table, self.preset)
        if self.space is None:
            raise SpaceError(f"--space or --table is missing; valid spaces: {', '.join(space_names())}")
        return find_space(self.space)

    def _refuse_changes_of_what_varies(self, space: Space) -> None:
        varied = {name for row in space.rows for name in row.parameters}
        if clash := sorted(varied & self.changes.keys()):
            raise SpaceError(f"--set {clash[0]}: {space.name} varies it; what it does not vary can be set")

    def _roles(self, given: Sequence[str], space: Space) -> dict[str, str]:
        """One data set given serves for pretraining and downstream; a table and a space say otherwise if they want."""
        if len(given) == 1:
            return {"data.pretraining": given[0], "data.downstream": given[0]}
        said = {*self.changes, *space.base, *(name for row in space.rows for name in row.parameters)}
        if len(given) > 1 and not {"data.pretraining", "data.downstream"} <= said:
            raise SweepError(
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
            if name != EMBEDDED and name not in LAYOUTS:
                raise SweepError(f"unknown data set '{name}'; valid: {', '.join([EMBEDDED, *LAYOUTS])}")
        return list(names)

    def _stand_ins(self, named: Sequence[str], given: Sequence[str]) -> tuple[tuple[str, str], ...]:
        chosen = dict(self.stand_ins)
        for name, other in chosen.items():
            if name not in LAYOUTS or not set(other.split("+")) <= {EMBEDDED, *given}:
                raise SweepError(
                    f"--stand-in {name}={other}: expected NAME=OTHER, NAME one of {', '.join(LAYOUTS)}, "
                    f"OTHER one of {', '.join([EMBEDDED, *given])}, or several joined by +"
                )
        missing = [name for name in named if name not in (EMBEDDED, *given, *chosen)]
        if missing and not given and self.preset in STANDING_IN:
            chosen |= dict.fromkeys(missing, EMBEDDED)
        elif missing:
            raise SweepError(
                f"where {', '.join(missing)} lies is not known: give --data {missing[0]}=DIR, or what is read in its place "
                f"with --stand-in {missing[0]}=OTHER ({', '.join([EMBEDDED, *given])})"
            )
        return tuple(sorted(chosen.items()))

    def _name(self, space: Space, named: Sequence[str]) -> str:
        parts = [space.name.replace("/", "-"), self.preset]
        parts += [name for name in sorted(named) if name != EMBEDDED] if not self.table else []
        parts += [self.search] if self.search != "tpe" else []
        changes = {**self.changes, **self.stand_ins}
        parts += [digest(changes)[:6]] if changes else []
        name = self.name or "-".join(parts)
        if Path(name).name != name:
            raise SweepError(f"--name {name!r}: a plain name, without a path")
        return name

    def _configurations(self, space: Space) -> int:
        named = len(space.rows) + len(space.points()) if self.search == "grid" else space.trials
        return self.trials or named


def data_sources(data: Sequence[str], splits: Sequence[str]) -> tuple[tuple[str, DataSource], ...]:
    """The sources that `--data [NAME=]DIR` and `--splits NAME=PATH` name. Raises SweepError."""
    named = [_named_root(value) for value in data]
    roots, lists = dict(named), dict(_named_path("--splits", value) for value in splits)
    if len(roots) < len(named):
        raise SweepError(f"--data names a set twice: {', '.join(name for name, _ in named)}")
    if lonely := sorted(lists.keys() - roots.keys()):
        raise SweepError(f"--splits names {', '.join(lonely)}, which no --data gives")
    return tuple((name, DataSource(root, lists.get(name))) for name, root in sorted(roots.items()))


def _named_root(value: str) -> tuple[str, Path]:
    if "=" in value:
        return _named_path("--data", value)
    root = Path(value).expanduser().absolute()
    name = recognise_layout(root) if root.is_dir() else None
    if name is None:
        raise SweepError(
            f"--data {value!r}: no layout is recognised there; say which: NAME={value}, NAME one of {', '.join(LAYOUTS)}"
        )
    return name, root


def _named_path(option: str, value: str) -> tuple[str, Path]:
    name, equals, text = value.partition("=")
    if not equals or not text:
        raise SweepError(f"{option} {value!r}: expected NAME=PATH, for example {option} ucf101=/data/UCF-101")
    if name not in LAYOUTS:
        raise SweepError(f"{option}: unknown data set '{name}'; valid: {', '.join(LAYOUTS)}")
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise SweepError(f"{option} {value!r}: there is nothing at {text}")
    return name, path


def named_stand_ins(values: Sequence[str]) -> dict[str, str]:
    """`NAME=OTHER` of `--stand-in`. Raises SweepError."""
    pairs = {}
    for value in values:
        name, equals, other = value.partition("=")
        if not equals or not name or not other:
            raise SweepError(f"--stand-in {value!r}: expected NAME=OTHER, for example kinetics100=embedded")
        pairs[name] = other
    return pairs


def weights_files(values: Sequence[str]) -> tuple[tuple[str, Path], ...]:
    """The files that `--weights NETWORK=FILE` names. Raises SweepError."""
    found = {}
    for value in values:
        network, _, text = value.partition("=")
        path = Path(text).expanduser().absolute()
        if network not in WEIGHTS or not path.is_file():
            problem = (
                f"there is no file {text}"
                if network in WEIGHTS
                else f"expected NETWORK=FILE, NETWORK one of {', '.join(WEIGHTS)}"
            )
            raise SweepError(f"--weights {value!r}: {problem}")
        found[network] = path
    return tuple(sorted(found.items()))


def _complete_trials(runs_dir: Path, own: str) -> dict[str, Record]:
    """Complete trials of the other sweeps below `runs_dir`, by identity. Raises LedgerError."""
    records = [
        record for path in sorted(runs_dir.glob(f"*/{FILE_NAME}")) if path.parent.name != own for record in read_records(path)
    ]
    return {
        record.trial: record
        for record in records
        if record.outcome == "complete" and record.versions.get("protocol") == PROTOCOL
    }
