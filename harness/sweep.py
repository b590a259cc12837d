"""The command: sweep a search space, or continue or extend the sweep of the same name.

    python harness/sweep.py --space temperatures
    python harness/sweep.py --space temperatures --preset small --data ucf101=UCF-101 --splits ucf101=ucfTrainTestlist
    python harness/sweep.py --table auxskd/table2 --seeds 3

State is on disk: the same command continues what was interrupted and adds what is new (more --trials, more --seeds).
Exit codes: 0 all trials complete or pruned, 1 some failed, 2 wrong usage, 3 the cluster was lost or trials cannot run, 130
interrupted.

What only shows something starts at once: torch, Optuna and Ray are imported where something is planned or run.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

REPOSITORY = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script
    sys.path[0] = str(REPOSITORY)
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command attends to it: an end without a traceback

import typer

from harness import options, settings_table
from harness.attention import ClusterLost
from harness.budget import Budget, BudgetSpent, Spending, how_many, parse_budget
from harness.event_files import NEEDED, EventFiles
from harness.halving import FACTOR, Rungs
from harness.invocation import Invocation, check_directory, console, told
from harness.ledger import FILE_NAME, Ledger, LedgerError, Record, read_records, repair, standing
from harness.listener import Listener
from harness.objectives import parse_objective
from harness.progress import Progress
from harness.request import Request, RequestError, data_sources, named_stand_ins, settings_of_weights, weights_files
from harness.samplers import SEARCHES, sampler_for
from harness.signs import Signs, SignsOfJoined, read_sign
from harness.summary import (
    findings_of,
    seeds_to_confirm,
    show_budget,
    show_circumstances,
    show_disk,
    show_plan,
    show_resolution,
    show_results,
)
from harness.tracking import Tracker
from harness.view import duration
from harness.wandb_runs import WandbRuns
from search_spaces.narrowing import parse_range
from search_spaces.paper_tables import table_ids, table_space
from search_spaces.space import find_space, space_names
from trainables.settings import parse_assignment, read_values

if TYPE_CHECKING:
    from harness.planner import Plan
    from harness.trials import Sweep
    from harness.watchdog import Limits
    from trainables.runtime import Runtime

MOST_WORKERS = 8
FEW_RECORDS = 20
"""Of each ledger, the last ones, by which it is known which metrics stages report."""
LARGE_INVENTORY = 2**20
"""Bytes of what a plan found out about videos (some 3,000) from which on it is written down; else a plan writes nothing."""
TRACKER_SECONDS = 60.0
TRACKER_SECONDS_WHEN_STOPPED = 10.0
EXAMPLES = """
[bold]Examples[/bold]

sweep.py --space temperatures --seeds 3

sweep.py --space temperatures --plan

sweep.py --settings auxskd --preset paper

sweep.py --space recipes --preset small --data ucf101=UCF-101 --splits ucf101=ucfTrainTestlist

sweep.py --table auxskd/table2 --seeds 3

sweep.py --table auxskd/table3 --preset small --data UCF-101 --stand-in kinetics100=ucf101

sweep.py --table auxskd/table2 --set backbone.family=r3d --plan

sweep.py --space temperatures --range auxskd.student_temperature=0.05:0.2 --set auxskd.teacher_temperature=0.02

sweep.py --space temperatures --search grid --config mine.yaml --set finetune.epochs=10

[bold]Exit codes[/bold]  0 all trials complete, 1 some failed, 2 wrong usage, 3 the cluster was lost or trials cannot run,
130 interrupted
"""


class SweepCommand(Invocation):
    """`--settings` may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for place, argument in enumerate(args):
            if argument == "--settings" and (place + 1 == len(args) or args[place + 1].startswith("-")):
                args = [*args[: place + 1], "", *args[place + 1 :]]
                break
        return super().parse_args(ctx, args)


app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


@app.command(cls=SweepCommand, epilog=EXAMPLES)
def main(
    space: options.Space = None,
    table: options.Table = None,
    preset_name: options.Preset = "demo",
    set_values: options.SetValues = None,
    config: options.Config = None,
    ranges: options.Ranges = None,
    data: options.Data = None,
    splits: options.Splits = None,
    stand_in: options.StandIn = None,
    weights: options.Weights = None,
    search: options.Search = "tpe",
    objectives: options.Objectives = None,
    trials: options.Trials = None,
    seeds: options.Seeds = 1,
    confirm: options.Confirm = None,
    scheduler: options.Scheduler = None,
    rungs: options.RungsAt = None,
    factor: options.Factor = None,
    budget: options.Budget = None,
    name: options.Name = None,
    runs_dir: options.RunsDir = Path("runs"),
    store: options.Store = None,
    cache_gb: options.CacheGb = None,
    concurrency: options.Concurrency = None,
    gpus_per_trial: options.GpusPerTrial = None,
    workers: options.Workers = None,
    save_every: options.SaveEvery = None,
    drop_states: options.DropStates = False,
    stage_timeout: options.StageTimeout = None,
    trial_timeout: options.TrialTimeout = None,
    stall_timeout: options.StallTimeout = None,
    oom_halvings: options.OomHalvings = 0,
    address: options.Address = None,
    join: options.Join = False,
    retry_failed: options.RetryFailed = False,
    code: options.Code = options.CodeChoice.auto,
    fresh: options.Fresh = None,
    repair_ledgers: options.Repair = False,
    wandb: options.Wandb = options.WandbMode.auto,
    tensorboard: options.Tensorboard = False,
    plan: options.Plan = False,
    report: options.Report = False,
    settings: options.Settings = None,
    list_spaces: options.ListSpaces = False,
    as_json: options.PlanAsJson = False,
    version: options.Version = False,
) -> None:
    """Sweep a search space; the same command again continues or extends it.

    A configuration's trial pretrains, finetunes and evaluates once per seed; stages that are finished already are reused.

    Without --data everything runs on the embedded clips, on a laptop without a GPU.
    """
    since = time.monotonic()
    if version:
        _show_version()
        return
    if as_json and not plan and settings is None:
        raise RequestError("--json goes with --plan or --settings")
    if repair_ledgers and plan:
        raise RequestError("--plan writes nothing, so it does not go with --repair")
    if list_spaces:
        _show_list(preset_name)
        return
    changes = dict(map(parse_assignment, set_values or []))
    request = Request(
        space=space,
        table=table,
        preset=preset_name,
        changes={**(read_values(config, changes) if config else {}), **changes},
        stand_ins=named_stand_ins(stand_in or []),
        search=_search(search),
        objectives=tuple(map(parse_objective, objectives or ())),
        trials=trials,
        seeds=seeds,
        name=name,
        runs_dir=runs_dir,
        ranges=_ranges(ranges or []),
        code=code.value,
        fresh=fresh or (),
        confirm=confirm,
        sequential=budget is not None,
        rungs=_rungs(scheduler is not None, rungs, factor, table, join, drop_states),
    )
    sources = data_sources(data or [], splits or [])
    if settings is not None:
        files = weights_files(weights or [], runs_dir, store or runs_dir / "store")
        _show_settings(request, [known for known, _ in sources], settings_of_weights(files), settings, as_json)
        return
    numbers = {
        "--cache-gb": cache_gb,
        "--gpus-per-trial": gpus_per_trial,
        "--save-every": save_every,
        "--stage-timeout": stage_timeout,
        "--trial-timeout": trial_timeout,
        "--stall-timeout": stall_timeout,
    }
    allowed = _budget(budget, join)
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise RequestError(f"{option} {number}: a finite number")
    if tensorboard and not EventFiles.can_be_written():
        raise RequestError(f"--tensorboard: what writes its files is not installed: {NEEDED}")
    for option, directory in (("--runs-dir", runs_dir), ("--store", store)):
        check_directory(option, directory)

    from harness.driver import SweepIsRun
    from harness.trials import SweepError
    from harness.watchdog import Limits
    from trainables.runtime import DEFAULT_CACHE_BYTES, DEFAULT_SAVE_EVERY, Runtime
    from trainables.stages.memory import OutOfMemory
    from trainables.store import StoreError

    nodes = None if report else _nodes(address)
    gpus = _gpus_per_trial(gpus_per_trial, nodes)
    at_once, cores_of_each = _concurrency(concurrency, gpus, nodes)
    workers, spare_core = _who_loads(workers, cores_of_each - 1, gpus)
    runtime = Runtime(
        store=(store or runs_dir / "store").absolute(),
        cache=(runs_dir / "cache").absolute(),
        sources=sources,
        weights=weights_files(weights or [], runs_dir, store or runs_dir / "store"),
        cache_bytes=DEFAULT_CACHE_BYTES if cache_gb is None else int(cache_gb * 2**30),
        workers=workers,
        spare_core=spare_core,
        save_every=DEFAULT_SAVE_EVERY if save_every is None else save_every,
        keep_states=not drop_states,
    )
    if repair_ledgers:
        _repair(runs_dir)
    try:
        if plan:
            _plan(request, runtime, at_once, gpus, allowed, as_json)
            return
        if report:
            _show_report(request, runtime)
            return
        with told("reading the data"):
            sweep = request.sweep(runtime)
            _check_request(request, sweep)
        runtime.open_store().check_writable()
        limits = Limits(stage_timeout, trial_timeout, stall_timeout)
        if join:
            exit_code = _join(sweep, at_once, gpus, address, retry_failed, limits)
        else:
            spending = _spending(allowed, sweep, at_once, gpus, since)
            exit_code = _run(sweep, at_once, gpus, wandb, tensorboard, address, retry_failed, limits, oom_halvings, spending)
    except (StoreError, SweepError, SweepIsRun, OutOfMemory) as error:
        raise RequestError(str(error)) from None
    raise typer.Exit(exit_code)


def _search(name: str) -> str:
    try:
        search = str(SEARCHES.check(name))
    except ValueError as error:
        raise RequestError(f"--search: {error}") from None
    if search not in SEARCHES.entries:
        sampler_for(search, 0, 0, 0)  # raises SettingsError
    return search


def _rungs(
    halving: bool, text: str | None, factor: int | None, table: str | None, join: bool, drop_states: bool
) -> Rungs | None:
    if not halving:
        for option, value in (("--rungs", text), ("--factor", factor)):
            if value is not None:
                raise RequestError(f"{option} goes with --scheduler halving")
        return None
    if text is None:
        raise RequestError("--scheduler halving: say at which epochs, for example --rungs finetune.epochs=3,6,12")
    if table is not None:
        raise RequestError("--scheduler halving goes with --space: the rows of a table are all trained to their end")
    if join:
        raise RequestError("--scheduler halving goes without --join: the process that runs the sweep decides what goes on")
    if drop_states:
        raise RequestError("--scheduler halving goes without --drop-states: from these states trainings go on")
    try:
        return Rungs.parse(text, factor or FACTOR)
    except ValueError as error:
        raise RequestError(f"--rungs {error}") from None


def _budget(text: str | None, join: bool) -> Budget | None:
    if text is None:
        return None
    if join:
        raise RequestError("--budget goes without --join: the process that runs the sweep keeps it")
    try:
        return parse_budget(text)
    except ValueError as error:
        raise RequestError(f"--budget {error}") from None


def _spending(allowed: Budget | None, sweep: Sweep, at_once: int, gpus: float, since: float) -> Spending:
    """What trials of the sweep may take, and what they have taken so far: by the last sign of life, or by the ledger, which
    does not know on how many devices, so that they count as those of this command. Raises RequestError."""
    asked = {"CPU": float(sweep.runtime.cores_of_a_trial), "GPU": gpus}
    if allowed:
        try:
            allowed.check(asked)
        except ValueError as error:
            raise RequestError(f"--budget {error}") from None
    sign = read_sign(sweep.directory)
    before = sign.occupied_seconds if sign else {}
    if not before:
        used = sum(spent.used for record in Ledger(sweep.directory).records() for spent in record.seconds.values())
        before = {device: number * used for device, number in asked.items()}
    return Spending(allowed, asked, at_once, before, since)


def _within(spending: Spending, ahead: Plan) -> int:
    """How many of the search's trials that are still to run a budget holds, beside those that confirm."""
    return how_many(spending, [seconds for _, seconds in ahead.pending], ahead.seconds_confirming)


def _check_budget(spending: Spending, ahead: Plan) -> None:
    """Raises RequestError for a budget that holds no trial, unless there is something to confirm."""
    assert spending.budget is not None
    to_confirm, each = ahead.confirming[0], sum(ahead.confirming[1].values())
    if _within(spending, ahead) or (to_confirm and ahead.trials_complete and spending.holds(each)):
        return
    kept = f", and the {to_confirm} that confirm {duration(ahead.seconds_confirming)}" if to_confirm else ""
    raise RequestError(
        f"--budget {spending.budget.text}: nothing would end within what is left of it, "
        f"{duration(max(spending.left, 0))}; the next trial takes about {duration(ahead.pending[0][1])} here{kept}"
    )


def _check_request(request: Request, sweep: Sweep) -> None:
    """Raises RequestError for objectives and rungs that its configurations do not have."""
    from harness.objectives import check_rungs

    if request.objectives or sweep.rungs:
        _check_objectives(sweep)
    for configuration in sweep.configurations() if sweep.rungs else ():
        assert sweep.rungs is not None
        name = f"{sweep.space.name}{f' ({configuration.row})' if configuration.row else ''}"
        check_rungs(sweep.rungs, name, sweep.jobs(configuration, [0])[0].stages)


def _check_objectives(sweep: Sweep) -> None:
    """Raises RequestError for objectives that no stage of a configuration reports."""
    from harness.objectives import check_objectives

    records: list[Record] = []
    for path in sweep.directory.parent.glob(f"*/{FILE_NAME}"):
        with contextlib.suppress(LedgerError):  # of another sweep: it is not this one's to complain of
            records += read_records(path)[-FEW_RECORDS:]
    for configuration in sweep.configurations():
        job = sweep.jobs(configuration, [0])[0]
        objectives = [objective for objective, _ in sweep.space.objectives]
        name = f"{sweep.space.name}{f' ({configuration.row})' if configuration.row else ''}"
        check_objectives(objectives, name, job.stages, job.experiment.settings, records)


def _repair(runs_dir: Path) -> None:
    for path in sorted(runs_dir.glob(f"*/{FILE_NAME}")):
        for said in repair(path):
            console.print(f"set aside: {said}", highlight=False, markup=False, soft_wrap=True)


def _show_version() -> None:
    try:
        console.print(f"auxgraph {metadata.version('auxgraph')}", highlight=False)
    except metadata.PackageNotFoundError:
        raise RequestError("auxgraph is not installed, so it has no version: pip install -e .") from None


def _show_list(preset_name: str) -> None:
    for space_name in space_names():
        console.print(f"{space_name:20} {find_space(space_name).summary}", highlight=False, soft_wrap=True)
    for table_id in table_ids():
        console.print(f"{table_id:20} {table_space(table_id, preset_name).summary}", highlight=False, soft_wrap=True)


def _show_settings(request: Request, given: Sequence[str], of_weights: Mapping[str, Any], prefix: str, as_json: bool) -> None:
    space, pinned = request.searched()
    values = {**of_weights, **request.values(space, given)}
    found = settings_table.settings_of(request.preset, values, space, pinned, prefix)
    if as_json:
        print(settings_table.as_json(found))
        return
    where = f"{space.name} at preset {request.preset}" if space else f"preset {request.preset}"
    settings_table.show(found, f"settings of {where}", console)


def _ranges(texts: Sequence[str]) -> dict[str, Any]:
    found = dict(map(parse_range, texts))
    if len(found) < len(texts):
        raise RequestError(f"--range narrows a parameter twice: {', '.join(texts)}")
    return found


def _nodes(address: str | None) -> Sequence[Mapping[str, float]] | None:
    """The resources of each node of the cluster at an address; None where this machine is all there is."""
    if address is None:
        return None
    from harness.cluster import nodes_at
    from harness.trials import SweepError

    try:
        with told("asking the cluster what it has"):
            return nodes_at(address)
    except SweepError as error:
        raise RequestError(str(error)) from None


def _gpus_per_trial(wanted: float | None, nodes: Sequence[Mapping[str, float]] | None) -> float:
    import torch

    most = torch.cuda.device_count() if nodes is None else max((node.get("GPU", 0) for node in nodes), default=0)
    if wanted is None:
        return float(most > 0)
    if wanted > most:
        has = "this machine has" if nodes is None else "the node of the cluster with the most has"
        raise RequestError(f"--gpus-per-trial {wanted:g}: {has} {most:g} GPUs that torch can use")
    return wanted


def _concurrency(wanted: int | None, gpus: float, nodes: Sequence[Mapping[str, float]] | None) -> tuple[int, int]:
    """How many trials run at once, and how many cores each has."""
    import torch

    from trainables.runtime import cores

    if nodes is not None:
        from harness.cluster import places

        at_once, cores_of_each = places(nodes, gpus, MOST_WORKERS)
        return wanted or at_once, cores_of_each
    at_once = wanted or (max(1, int(torch.cuda.device_count() / gpus)) if gpus else min(MOST_WORKERS, cores()))
    return at_once, cores() // at_once


def _who_loads(workers: int | None, free: int, gpus: float) -> tuple[int, bool]:
    """How many processes of a trial load clips, and whether a core is left for a thread that does.

    free: cores that a trial has beside the one that computes, or drives a GPU.
    """
    if workers is None:
        workers = min(MOST_WORKERS, max(free, 0)) if gpus else 0
    return workers, free > 0


def _plan(request: Request, runtime: Runtime, at_once: int, gpus: float, allowed: Budget | None, as_json: bool) -> None:
    from harness.planner import make_plan

    with tempfile.TemporaryDirectory(prefix="auxgraph-plan-") as scratch:
        told_of = told("reading the data, measuring the networks")
        with told_of, _large_inventories_kept(Path(scratch), runtime.cache):
            sweep = request.sweep(_reading_only(runtime, Path(scratch)))
            _check_request(request, sweep)
            spending = _spending(allowed, sweep, at_once, gpus, time.monotonic())
            found = make_plan(sweep, Ledger(sweep.directory), at_once, runtime.cache_bytes)
        within = _within(spending, found)
        if as_json:
            of_budget = {"trials_within_budget": within} if allowed else {}
            print(json.dumps(found.as_json() | of_budget, indent=1))
        else:
            show_plan(sweep, found, at_once, console)
            if allowed:
                show_budget(spending, found, within, console)
            show_resolution(sweep, console)


def _show_report(request: Request, runtime: Runtime) -> None:
    with tempfile.TemporaryDirectory(prefix="auxgraph-report-") as scratch, told("reading the data"):
        sweep = request.sweep(_reading_only(runtime, Path(scratch)))
    if not sweep.directory.is_dir():
        raise RequestError(f"there is no sweep {sweep.name} below {request.runs_dir}")
    everything = Ledger(sweep.directory).records()
    records = standing(everything)
    show_results(sweep, records, len(everything) - len(records), {}, console)


def _reading_only(runtime: Runtime, scratch: Path) -> Runtime:
    """The runtime with a throw-away cache that sees what the real one holds; inventories, which are appended to, as copies."""
    from trainables.video.inventory import KEPT

    if runtime.cache.is_dir():
        inventories = set(runtime.cache.glob(KEPT.format("*")))
        for path in runtime.cache.iterdir():
            if path in inventories:
                shutil.copy(path, scratch)
            else:
                (scratch / path.name).symlink_to(path)
    return replace(runtime, cache=scratch, cache_bytes=0)


@contextlib.contextmanager
def _large_inventories_kept(scratch: Path, cache: Path) -> Iterator[None]:
    """Keeps what a plan found out about many videos, also where it is interrupted: else the next would take as long."""
    from trainables.files import write_atomically
    from trainables.video.inventory import KEPT

    try:
        yield
    finally:
        for path in scratch.glob(KEPT.format("*")):
            kept = cache / path.name
            with contextlib.suppress(OSError):
                if path.stat().st_size - (kept.stat().st_size if kept.is_file() else 0) > LARGE_INVENTORY:
                    cache.mkdir(parents=True, exist_ok=True)
                    write_atomically(kept, path.read_bytes())


def _run(
    sweep: Sweep,
    at_once: int,
    gpus: float,
    wandb: options.WandbMode,
    tensorboard: bool,
    address: str | None,
    retry_failed: bool,
    limits: Limits,
    oom_halvings: int,
    spending: Spending,
) -> int:
    from harness.bookkeeper import Bookkeeper
    from harness.driver import only_driver
    from harness.executor import run_trials
    from harness.forecast import Forecast
    from harness.hindrances import GivenUp

    try:
        sweep.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{sweep.directory} cannot be made: {error.strerror}") from None
    with only_driver(sweep.directory):
        with told("looking up what there is"):
            changes = sweep.settle_identity()
            ledger = Ledger(sweep.directory)
            ahead = _ahead(sweep, ledger, at_once, gpus)
            total = sweep.proposals(ledger).size * sweep.seeds + sweep.confirming
        for change in changes:
            console.print(change, style="yellow", highlight=False, markup=False)
        show_circumstances(sweep, console)
        show_disk(ahead.disk, console)
        if spending.budget and ahead.pending:
            show_budget(spending, ahead, _within(spending, ahead), console)
            _check_budget(spending, ahead)
        stopped: int | None = None
        forecast = Forecast(seconds, at_once) if (seconds := ahead.seconds()) is not None else None
        space = sweep.space
        with (
            Progress(sweep.name, total, space.objective, str(sweep.directory), console, space.direction, forecast) as progress,
            Signs(sweep.directory, sweep.command, lambda: progress.sign() | spending.sign()) as signs,
        ):
            listeners: list[Listener] = [WandbRuns(wandb.value, sweep.directory, sweep.name, progress.note)]
            if tensorboard:
                listeners.append(EventFiles(sweep.directory, sweep.name, progress.note))
            tracker = Tracker(listeners)
            books = Bookkeeper(sweep, ledger, tracker, progress, retry_failed, limits, oom_halvings, spending, seeds_to_confirm)
            try:
                run_trials(books, concurrency=at_once, gpus_per_trial=gpus, address=address)
                if tracker.has_told and (found := findings_of(sweep)):
                    tracker.conclude(sweep.name, found)
                signs.over = f"the budget holds no further trial: {spending}" if books.spent else "nothing is left to run"
            except KeyboardInterrupt:
                stopped, signs.over = 130, "interrupted"
            except BudgetSpent as error:
                books.spent, signs.over = True, f"the budget is spent: {error}"
            except (ClusterLost, GivenUp) as error:
                stopped, signs.over = 3, str(error)
                progress.note(str(error))
            finally:
                tracker.close(timeout=TRACKER_SECONDS if stopped is None else TRACKER_SECONDS_WHEN_STOPPED)
    everything = ledger.records()
    records = standing(everything)
    show_results(sweep, records, len(everything) - len(records), tracker.descriptions, console)
    if stopped is not None:
        console.print("interrupted: the same command continues this sweep")
        return stopped
    cut_short = spending.budget is not None and not (books.at_end and books.is_confirmed and not books.spent)
    if cut_short:
        more = "with a larger one" if spending.budget and spending.budget.device else "for as long again"
        console.print(
            f"budget: {spending} is spent; left out: {books.not_run()}; the same command goes on {more}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    fine = ("complete", "pruned", "interrupted") if cut_short else ("complete", "pruned")
    return 1 if any(record.outcome not in fine for record in records) else 0


def _ahead(sweep: Sweep, ledger: Ledger, at_once: int, gpus: float) -> Plan:
    """What will run. Nothing is measured on a GPU, of which this process would hold memory for as long as the sweep runs."""
    from harness.planner import outlook
    from trainables.stages.memory import OutOfMemory

    try:
        return outlook(sweep, ledger, at_once, sweep.runtime.cache_bytes, measure=not gpus)
    except OutOfMemory:  # its trials say so
        return outlook(sweep, ledger, at_once, sweep.runtime.cache_bytes, measure=False)


def _join(sweep: Sweep, at_once: int, gpus: float, address: str | None, retry_failed: bool, limits: Limits) -> int:
    from harness.driver import driver_of
    from harness.executor import run_trials
    from harness.hindrances import GivenUp
    from harness.joining import DriverEnded, Joined, Reading

    driver = driver_of(sweep.directory)
    if driver is None:
        raise RequestError(
            f"--join: no process runs sweep '{sweep.name}' in {sweep.directory.parent}: without --join this one does"
        )
    sweep = replace(sweep, fresh=())  # the driver has begun afresh
    with told("looking up what there is"):
        sweep.changes()
        ledger = Reading(sweep.directory)
        total = sweep.proposals(ledger).size * sweep.seeds + sweep.confirming
    console.print(f"joined: computes for {driver}, which records", highlight=False, markup=False, soft_wrap=True)
    space, ended, code = sweep.space, "nothing is left to compute", 0
    with (
        Progress(sweep.name, total, space.objective, str(sweep.directory), console, space.direction) as progress,
        SignsOfJoined(sweep.directory, sweep.command, progress.sign),
    ):
        try:
            run_trials(
                Joined(sweep, ledger, Tracker(), progress, retry_failed, limits, confirming=seeds_to_confirm),
                concurrency=at_once,
                gpus_per_trial=gpus,
                address=address,
            )
        except KeyboardInterrupt:
            ended, code = "interrupted: the sweep goes on without", 130
        except DriverEnded as error:
            ended = str(error)
        except (ClusterLost, GivenUp) as error:
            ended, code = str(error), 3
    console.print(ended, highlight=False, markup=False, soft_wrap=True)
    return code


if __name__ == "__main__":
    app()
