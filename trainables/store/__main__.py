"""What a store holds, who uses it, whether it is whole, and removing what nobody needs.

python -m trainables.store list --store runs/store
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from trainables.store.artifact import Artifact
from trainables.store.directory import Store, artifacts
from trainables.store.errors import DamagedArtifact, StoreError
from trainables.store.usage import Ledgers, Rules, date_of, lease_of, leftovers, remove, rung_of, rungs, selected, size_of

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None, pretty_exceptions_enable=False)
Directory = Annotated[Path, typer.Option("--store", help="The store; ledgers are looked for in the folders beside it.")]
DEFAULT = Path("runs/store")


@app.command("list")
def list_(store: Directory = DEFAULT) -> None:
    """A line per artifact: size, seconds spent, date, and the sweeps and number of trials that name it.

    The size is with the state that more epochs would go on from.
    """
    ledgers = _ledgers(store)
    uses = ledgers.uses()
    table = Table("kind", "key", box=None, header_style="bold")
    for heading in ("bytes", "seconds", "published"):
        table.add_column(heading, justify="right")
    table.add_column("used by")
    total = 0
    for kind, artifact in artifacts(store):
        size = size_of(artifact.directory)
        total += size
        try:
            seconds = f"{artifact.done['seconds']:,.1f}"
        except DamagedArtifact:
            seconds = "damaged"
        sweeps = [sweep for sweep, _ in uses.get((kind, artifact.key), ())]
        users = ", ".join(f"{sweep} ({sweeps.count(sweep)})" for sweep in sorted(set(sweeps))) or "-"
        date = datetime.datetime.fromtimestamp(date_of(artifact))
        table.add_row(kind, artifact.key, f"{size:,}", seconds, f"{date:%Y-%m-%d %H:%M}", users)
    _show(table)
    print(f"{table.row_count} artifacts, {total:,} bytes")
    _tell_damaged_lines(ledgers)


@app.command()
def show(name: Annotated[str, typer.Argument(help="KIND/KEY, or how a key begins")], store: Directory = DEFAULT) -> None:
    """One artifact: its settings, files, last metrics, and the trials that name it."""
    ledgers = _ledgers(store)
    found = [(kind, one) for kind, one in artifacts(store) if f"{kind}/{one.key}" == name or one.key.startswith(name)]
    if len(found) != 1:
        many = f"{len(found)} artifacts are called so: {', '.join(f'{kind}/{one.key}' for kind, one in found[:5])}"
        _refuse(many if found else f"no artifact of {store} is called {name}; `list` shows all")
    kind, artifact = found[0]
    print(f"{kind}/{artifact.key}, {artifact.directory}")
    try:
        settings = json.loads((artifact.directory / "settings.json").read_bytes())
        done = artifact.done
    except (DamagedArtifact, OSError, ValueError) as error:
        _refuse(str(error))
    files = {path.name: f"{path.stat().st_size:,}" for path in sorted(artifact.directory.iterdir())}
    trials = ledgers.uses().get((kind, artifact.key), set())
    users = {sweep: " ".join(sorted(trial for other, trial in trials if other == sweep)) for sweep, _ in sorted(trials)}
    for heading, rows in (("setting", settings), ("file", files), ("metric", done["metrics"]), ("sweep", users)):
        table = Table(heading, "", box=None, header_style="bold", show_header=True)
        for key, value in rows.items():
            table.add_row(key, value if isinstance(value, str) else json.dumps(value))
        print()
        _show(table)
    _tell_damaged_lines(ledgers)


@app.command()
def verify(
    store: Directory = DEFAULT,
    set_aside: Annotated[bool, typer.Option(help="Move damaged ones away, to be made again.")] = False,
) -> None:
    """Read every file of every artifact; exit code 1 names what is damaged."""
    _require(store)
    place = Store(store, warn=print)
    count = damaged = 0
    for _, artifact in artifacts(store):
        count += 1
        try:
            artifact.verify()
        except DamagedArtifact as damage:
            damaged += 1
            if set_aside:
                place.set_aside(artifact)
            else:
                print(damage)
    print(f"{count} artifacts, {damaged} damaged")
    raise typer.Exit(1 if damaged else 0)


@app.command()
def prune(
    store: Directory = DEFAULT,
    unreferenced: Annotated[bool, typer.Option("--unreferenced", help="Artifacts that no record names.")] = False,
    older_than: Annotated[float | None, typer.Option(help="Artifacts published more than so many days ago.", min=0)] = None,
    keep_best: Annotated[int | None, typer.Option(help="Of --sweep, artifacts of all but the best trials.", min=0)] = None,
    sweep: Annotated[str | None, typer.Option(help="The sweep of --keep-best; what others name too stays.")] = None,
    objective: Annotated[str, typer.Option(help="The metric of --keep-best, the highest is best.")] = "validation/top1",
    damaged: Annotated[bool, typer.Option("--damaged", help="Also what was set aside, and training states at rest.")] = False,
    states: Annotated[bool, typer.Option("--states", help="Also the states from which more epochs would go on.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only listed.")] = False,
) -> None:
    """Remove the artifacts to which all given rules apply, but none that a process is making. Lists only, without --yes."""
    ledgers = _ledgers(store)
    if (keep_best is None) != (sweep is None):
        _refuse("--keep-best and --sweep go together")
    if sweep is not None and sweep not in ledgers.records:
        _refuse(f"there is no sweep {sweep} beside {store}; there are {', '.join(ledgers.records) or 'none'}")
    by_rule = unreferenced or older_than is not None or sweep is not None
    if not by_rule and not damaged and not states:
        _refuse("nothing was asked for: give --unreferenced, --older-than, --keep-best with --sweep, --damaged or --states")
    if ledgers.damaged and (unreferenced or sweep is not None):
        _refuse(
            f"{ledgers.damaged} lines of ledgers beside {store} are damaged: what they name is not known; repair them first"
        )
    best = ledgers.best(sweep, objective, keep_best) if sweep is not None and keep_best is not None else set()
    if sweep is not None and keep_best and not best:
        _refuse(f"no record of {sweep} has the metric {objective}")
    rules = Rules(unreferenced, older_than, sweep, frozenset(best))
    chosen = list(selected(store, ledgers, rules)) if by_rule else []
    theirs = {rung_of(Artifact(path)) for path in chosen}
    paths = [
        *chosen,
        *(path for path in rungs(store) if states and path not in theirs),
        *(leftovers(store) if damaged else ()),
    ]
    held = _held(store, paths)
    table = Table("what", box=None, header_style="bold")
    table.add_column("bytes", justify="right")
    table.add_column("")
    total = 0
    for path in paths:
        size = size_of(path)
        total += 0 if path in held else size
        table.add_row(str(path.relative_to(store)), f"{size:,}", f"stays: {held[path]} is at it" if path in held else "")
    _show(table)
    going = [path for path in paths if path not in held]
    if not yes:
        print(f"{len(going)} would go, {total:,} bytes; --yes removes them")
        return
    kept = remove(going)
    print(f"{len(going) - len(kept)} removed, {total - sum(map(size_of, kept)):,} bytes")
    for path in kept:
        print(f"{path.relative_to(store)} stays: another process has taken it up")


def _held(store: Path, paths: list[Path]) -> dict[Path, str]:
    place = Store(store)
    holders = {path: place.holder(*lease_of(path).target.parts[-2:]) for path in paths}
    return {path: str(holder) for path, holder in holders.items() if holder is not None}


def _ledgers(store: Path) -> Ledgers:
    _require(store)
    return Ledgers.read(store.resolve().parent)


def _require(store: Path) -> None:
    if not store.is_dir():
        _refuse(f"there is no store at {store}; sweeps keep theirs at RUNS_DIR/store, or where --store says")


def _tell_damaged_lines(ledgers: Ledgers) -> None:
    if ledgers.damaged:
        print(f"{ledgers.damaged} damaged lines of ledgers were passed over")


def _refuse(message: str) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(2)


def _show(table: Table) -> None:
    """On a terminal as wide as it is, elsewhere as wide as the table."""
    console = Console()
    (console if console.is_terminal else Console(width=10_000)).print(table)


if __name__ == "__main__":
    try:
        app()
    except StoreError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
