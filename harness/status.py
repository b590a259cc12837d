"""How the sweeps of a directory are, from another terminal or another machine that shares the disk.

    python harness/status.py
    python harness/status.py temperatures-demo --watch

What runs, what is dead and what has ended; of each running trial its stage, how far that is, its machine, and when it last gave
a sign; and the command that continues what ended too early. Reads only, and may be asked while a sweep runs.
Exit codes: 0, also where a sweep is dead; 1 if something could not be read, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness import options
from harness.condition import Condition, Observer, State, sweeps_below
from harness.invocation import Invocation, check_directory, console
from harness.request import RequestError
from harness.view import duration, how_far
from trainables.suggestions import did_you_mean
from trainables.video.videos import printable

REFRESH_SECONDS = 2.0
NODE_WIDTH = 16
_STYLES: dict[State, str] = {"running": "green", "silent": "yellow", "finished": "", "stopped": "yellow", "dead": "red"}

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


@app.command(cls=Invocation)
def main(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="of a sweep; default: all of them")] = None,
    runs_dir: options.RunsDir = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="show it anew every two seconds, until Ctrl-C")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="a list with an object per sweep")] = False,
) -> None:
    """Which sweeps run, are dead or have ended, and how far each trial is; from the disk alone."""
    if watch and as_json:
        raise RequestError("--watch and --json do not go together")
    _check(name, runs_dir)
    observer = Observer()
    seen = _look(observer, name, runs_dir)
    if as_json:
        print(json.dumps([one.as_json() for one in seen], indent=1))
    elif watch:
        _watch(observer, name, runs_dir)
    else:
        for part in _parts(seen, runs_dir, whole=name is not None):
            console.print(part, soft_wrap=isinstance(part, Text))  # a command is copied as one line
    raise typer.Exit(1 if any(one.problem for one in seen) else 0)


def _check(name: str | None, runs_dir: Path) -> None:
    """Raises RequestError."""
    check_directory("--runs-dir", runs_dir)
    if name is None and not runs_dir.is_dir() and runs_dir != Path("runs"):
        raise RequestError(f"--runs-dir {runs_dir}: there is no such directory")
    there = [path.name for path in sweeps_below(runs_dir)] if runs_dir.is_dir() else []
    if name is not None and name not in there:
        valid = ", ".join(there) or "none yet"
        raise RequestError(f"unknown sweep '{name}' below {runs_dir}; valid sweeps: {valid}{did_you_mean(name, there)}")


def _look(observer: Observer, name: str | None, runs_dir: Path) -> list[Condition]:
    if name is not None:
        return [observer.look(runs_dir / name)]
    return [observer.look(path) for path in sweeps_below(runs_dir)] if runs_dir.is_dir() else []


def _watch(observer: Observer, name: str | None, runs_dir: Path) -> None:
    def seen() -> RenderableType:
        return Group(*_parts(_look(observer, name, runs_dir), runs_dir, whole=name is not None))

    with Live(seen(), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            live.update(seen(), refresh=True)


def _parts(seen: Sequence[Condition], runs_dir: Path, whole: bool) -> Iterator[RenderableType]:
    """whole: also what failed."""
    if not seen:
        yield Text(f"no sweeps below {runs_dir}")
        return
    yield _sweeps(seen)
    for one in seen:
        details = list(_details(one, whole))
        yield from [Text(), *details] if details else []


def _sweeps(seen: Sequence[Condition]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("sweep", "state", "trials", "left", "last sign", "process"):
        table.add_column(heading, no_wrap=heading != "sweep", overflow="fold")
    for one in seen:
        left = one.seconds_left
        where = f"{one.driver.pid} on {one.driver.host}" if one.driver and one.driver.pid else ""
        table.add_row(
            Text(printable(one.name)),
            Text(one.state, style=_STYLES[one.state]),
            _counts(one),
            "" if left is None else f"about {duration(left)}",
            _ago(one.age),
            Text(printable(where) if one.state in ("running", "silent", "dead") else ""),
        )
    return table


def _counts(one: Condition) -> str:
    counts = [f"{one.done}/{one.total}" if one.total is not None else f"{one.done}"]
    counts += [f"{number} {outcome}" for outcome in ("pruned", "failed", "interrupted") if (number := one.ended.get(outcome))]
    return ", ".join(counts)


def _details(one: Condition, whole: bool) -> Iterator[RenderableType]:
    if one.running:
        yield _trials(one)
    sign = one.sign
    for said in (
        one.problem and f"cannot be read: {one.problem}",
        _in_words(one),
        one.joined and f"joined by {', '.join(map(str, one.joined))}",
        one.state in ("running", "silent", "dead") and sign and sign.note and f"said last: {sign.note}",
        one.continued_by and f"continue: {one.continued_by}",
    ):
        if said:
            text = "\n".join(map(printable, f"{one.name}: {said}".splitlines()))
            yield Text(text, style="yellow" if said == one.problem else "")
    for record in one.failures if whole else ():
        yield Text(printable(f"failed: trial {record.trial}, {record.row or record.parameters}: {record.reason}"), style="red")


def _in_words(one: Condition) -> str | None:
    if one.state == "running" and one.sign is None:
        return "has begun, or is run by an earlier version: what runs in it is not told"
    if one.state == "silent":
        return f"{one.driver} holds it and gives no sign: it is suspended, or its machine is gone"
    if one.state == "dead":
        return f"{one.driver or 'its process'} ended without a word"
    if one.state == "stopped" and one.sign is not None:
        return f"ended with trials left: {one.sign.over}"
    return None


def _trials(one: Condition) -> Table:
    title = f"{one.name}: {'running' if one.state == 'running' else 'running when it last gave a sign'}"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title=title, title_justify="left")
    for heading in ("trial", "", "stage", "at", "for", "told", "node"):
        table.add_column(
            heading,
            no_wrap=bool(heading),
            justify="right" if heading in ("at", "for", "told") else "left",
            overflow="ellipsis",
            max_width=NODE_WIDTH if heading == "node" else None,
        )
    since = one.age or 0.0
    for trial in one.running:
        at = {name: value for name in ("epoch", "epochs", "batch", "batches") if (value := getattr(trial, name)) is not None}
        cells = [
            trial.trial,
            trial.label,
            trial.stage or "starting",
            how_far(at),
            duration(trial.seconds + (since if one.state == "running" else 0)),
            _ago(trial.quiet + since),
            trial.node or "",
        ]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return ""
    days = int(seconds // 86400)
    return f"{days} day{'s' if days > 1 else ''} ago" if days else f"{duration(seconds)} ago"


if __name__ == "__main__":
    app()
