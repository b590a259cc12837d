"""One trial again, from its record, and whether its numbers come out the same.

    python harness/replay.py 7d0c1f5be2
    python harness/replay.py 7d0c1f --data ucf101=/elsewhere/UCF-101

Everything is computed anew, in a store of its own that is removed afterwards; with --store what is there already is not. Where
device, versions and code are those of the record, the numbers of a CPU are the same to the bit. Where they are not, what
differs is named, and numbers count as the same within --tolerance.
Exit codes: 0 the same, 1 different, 2 wrong usage or other data, 3 it could not be computed, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import click
import typer
from rich.table import Table
from rich.text import Text

from harness import options
from harness.forecast import Forecast
from harness.identity import DIRECTION, OBJECTIVE, read_identity
from harness.invocation import Invocation, check_directory, console, told
from harness.ledger import FILE_NAME, Record, Seconds, read_history
from harness.progress import Progress
from harness.request import RequestError, all_stand_ins, data_sources, named_stand_ins, weights_files
from harness.signs import read_sign
from harness.view import duration
from trainables.video.videos import printable

if TYPE_CHECKING:
    from harness.again import Compared
    from trainables.pipeline import Experiment, Made, Result
    from trainables.runtime import Runtime

TOLERANCE = 0.05
OF_PATHS = ("data", "splits", "weights")
WHERE_DATA_LIE = (*OF_PATHS, "stand_in")
"""Options of a sweep's command that no record's settings hold."""

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


@app.command(cls=Invocation)
def main(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="of any sweep below --runs-dir; how it begins will do")],
    runs_dir: options.RunsDir = Path("runs"),
    data: options.Data = None,
    splits: options.Splits = None,
    stand_in: options.StandIn = None,
    weights: options.Weights = None,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="where stages are kept, and not computed if they are there; default: a new place, removed afterwards",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    workers: options.Workers = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="X",
            help="within which numbers are the same where bits cannot be; of a value above 1 the share",
            rich_help_panel=options.RUN,
        ),
    ] = TOLERANCE,
) -> None:
    """Compute a trial again from its record, and compare the two. Without --data from where its sweep's command had them."""
    for option, directory in (("--runs-dir", runs_dir), ("--store", store)):
        check_directory(option, directory)
    if not runs_dir.is_dir():
        raise RequestError(f"--runs-dir {runs_dir}: there is no such directory")
    given = {"data": data, "splits": splits, "stand_in": stand_in, "weights": weights}

    from harness.again import check_data, experiment_of, find_record
    from trainables.runtime import Runtime
    from trainables.stages.memory import OutOfMemory
    from trainables.store import StoreError
    from trainables.video.dataset import LoaderDied

    sweep_of_it, record = find_record(trial, runs_dir.absolute())
    place = store.absolute() if store else None
    with _as_it_was_started(sweep_of_it, record, given) as where, _store(runs_dir.absolute(), place) as place:
        experiment = experiment_of(record)
        sets, chosen = experiment.settings.data, named_stand_ins(where["stand_in"])
        named = list(dict.fromkeys((*sets.pretraining_sets, *sets.downstream_sets)))
        sources = data_sources(where["data"], where["splits"])
        runtime = Runtime(
            store=place,
            cache=runs_dir.absolute() / "cache",
            sources=sources,
            stand_ins=all_stand_ins(chosen, named, [name for name, _ in sources], record.preset),
            weights=weights_files(where["weights"], runs_dir, store or runs_dir / "store"),
            workers=workers or 0,
        )
        with told("reading the data"):
            check_data(record, experiment, runtime)
        _show_what(sweep_of_it, record, place, new=store is None)
        try:
            runtime.open_store().check_writable()
            code = 0 if _replayed(sweep_of_it, record, experiment, runtime, tolerance) else 1
        except (OutOfMemory, LoaderDied, StoreError) as error:
            _say(f"it could not be computed: {error}", "red")
            code = 3
    raise typer.Exit(code)


@contextlib.contextmanager
def _as_it_was_started(
    directory: Path, record: Record, given: Mapping[str, list[str] | None]
) -> Iterator[dict[str, list[str]]]:
    """The options of WHERE_DATA_LIE: as given, else the recorded command's; with its working directory, where that is known."""
    absolute = {**dict.fromkeys(OF_PATHS, _absolute), "weights": _absolute_file}
    now = {name: list(map(absolute[name], values)) if name in absolute else values for name, values in given.items() if values}
    replaced = {*now, *(("data", "splits") if {"data", "splits"} & now.keys() else ())}
    recorded = {name: values for name, values in _recorded(record.command).items() if name not in replaced}
    sign = read_sign(directory)
    there = Path(sign.directory) if sign and Path(sign.directory).is_dir() else Path.cwd()
    try:
        with contextlib.chdir(there):
            yield {name: list(now.get(name, recorded.get(name, []))) for name in WHERE_DATA_LIE}
    except RequestError as error:
        if not any(recorded.values()):
            raise
        raise RequestError(f"{error}\n(from the trial's command, but for what is given now: {record.command})") from None


def _absolute(value: str) -> str:
    """`NAME=PATH`, or a path, from wherever it is read."""
    name, equals, path = value.rpartition("=")
    return f"{name}{equals}{Path(path).expanduser().absolute()}"


def _absolute_file(value: str) -> str:
    """The same of a file that is there; of anything else, such as a trial's name, as it is."""
    return _absolute(value) if Path(value.rpartition("=")[2]).expanduser().exists() else value


def _recorded(command: str) -> dict[str, Sequence[str]]:
    """What a sweep's command said of where its data lie; nothing where it cannot be read."""
    from harness import sweep

    try:
        words = shlex.split(command)[2:]
        with typer.main.get_command(sweep.app).make_context("sweep.py", words, resilient_parsing=True) as context:
            return {name: context.params.get(name) or () for name in WHERE_DATA_LIE}
    except (ValueError, click.ClickException):
        return {}


@contextlib.contextmanager
def _store(runs_dir: Path, place: Path | None) -> Iterator[Path]:
    if place is not None:
        yield place
        return
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=runs_dir) as new:
        yield Path(new)


def _show_what(directory: Path, record: Record, place: Path, new: bool) -> None:
    seconds = record.seconds_alone
    what = record.row or ", ".join(f"{name}={value}" for name, value in record.parameters.items())
    machine = " on ".join(filter(None, (record.versions.get("device"), record.versions.get("node"))))
    _say(f"trial {record.trial} of sweep {directory.name}: {what}, seed {record.seed}")
    _say(f"its {len(record.stages)} stages took {duration(seconds)} then ({machine or 'it is not recorded on what'})")
    _say(f"computed again in {f'a store of its own, which is removed afterwards: {place}' if new else place}")


def _replayed(directory: Path, record: Record, experiment: Experiment, runtime: Runtime, tolerance: float) -> bool:
    """Whether it came out the same. Shows both."""
    from harness.again import changes_since, compared, first_difference
    from trainables.stages.guard import Collapsed
    from trainables.stages.training import NonFiniteLoss

    try:
        result = _run(directory, record, experiment, runtime)
    except (NonFiniteLoss, Collapsed) as error:
        _say(f"different: it was complete, and now fails: {error}", "red")
        return False
    metrics = compared(record, result.metrics, _measured(result.made))
    reasons = list(changes_since(record, result.made, runtime))
    history = {name: values for one in result.made.values() for name, values in one.history.items()}
    differs = first_difference(read_history(directory / FILE_NAME, record.trial), history)
    console.print(_table(metrics))
    for reason in reasons:
        _say(reason)
    if differs:
        _say(f"first difference: {differs}")
    return _verdict(metrics, differs, reasons, tolerance)


def _verdict(metrics: Sequence[Compared], differs: str | None, reasons: Sequence[str], tolerance: float) -> bool:
    if differs is None and all(one.is_within(0) for one in metrics):
        _say("the same, to the bit", "green")
        return True
    beyond = [one.name for one in metrics if not one.is_within(tolerance)]
    if not reasons:
        _say("different, though nothing is known to have changed", "red")
    elif beyond:
        _say(f"different: beyond {tolerance:g} are {', '.join(beyond)}; the reason may be what has changed, above", "red")
    else:
        _say(f"the same within {tolerance:g} (--tolerance), not to the bit, which what has changed may explain", "green")
    return bool(reasons) and not beyond


def _run(directory: Path, record: Record, experiment: Experiment, runtime: Runtime) -> Result:
    from trainables.pipeline import run_experiment

    written = read_identity(directory)
    objective, direction = written.get(OBJECTIVE, "validation/top1"), written.get(DIRECTION, "maximize")
    took = {
        (name.partition("/")[0], record.stages.get(name, name)): spent.used + spent.saved
        for name, spent in record.seconds.items()
    }
    forecast = Forecast(took, 1)
    with Progress(f"replay of {record.trial}", 1, objective, str(runtime.store), console, direction, forecast) as progress:
        progress.trial_started(record.trial, f"#{record.index}", record.parameters, record.seed, record.row)

        def report(line: dict[str, Any]) -> None:
            if "note" in line:
                progress.note(line["note"])
            elif "made" in line:
                progress.stage_made(record.trial, line["stage"], line["made"]["key"], line["made"]["used"])
            else:
                progress.reached(record.trial, line)

        result = run_experiment(experiment, runtime, report)
        seconds = {name: Seconds(used=one.used, saved=one.saved) for name, one in result.made.items()}
        again = record.model_copy(update={"metrics": result.metrics, "seconds": seconds})
        progress.trial_ended(again, result.metrics.get(objective))
    return result


def _measured(made: Mapping[str, Made]) -> set[str]:
    """Metrics that say what a run took on its machine."""
    from trainables.stages.compression import KIND

    return {name for stage, one in made.items() if stage.partition("/")[0] == KIND.name for name in one.metrics}


def _table(metrics: Sequence[Compared]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("metric", overflow="fold")
    for heading in ("recorded", "again", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in metrics:
        cells = ["-" if value is None else f"{value:.8g}" for value in (one.recorded, one.again)]
        same = "" if one.recorded is None or one.again is None else "0" if one.difference == 0 else f"{one.difference:+.2g}"
        style = "" if one.is_within(0) else "yellow"
        table.add_row(*(Text(cell, style=style) for cell in (one.name, *cells, same if one.judged else f"{same} (not judged)")))
    return table


def _say(text: str, style: str = "") -> None:
    console.print(Text(printable(text), style=style), soft_wrap=True)


if __name__ == "__main__":
    app()
