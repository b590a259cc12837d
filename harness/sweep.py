"""The command: sweep a search space, or continue or extend the sweep of the same name.

    python harness/sweep.py --space temperatures
    python harness/sweep.py --space temperatures --preset small --data ucf101=UCF-101 --splits ucf101=ucfTrainTestlist
    python harness/sweep.py --table auxskd/table2 --seeds 3

State is on disk: the same command continues what was interrupted and adds what is new (more --trials, more --seeds).
Exit codes: 0 all trials complete, 1 some failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import typer
from rich.console import Console
from rich.table import Table

from harness.bookkeeper import Bookkeeper
from harness.executor import REPOSITORY, ClusterLost, run_trials
from harness.ledger import Ledger, LedgerError, Record
from harness.planner import Plan, make_plan
from harness.progress import Progress, shown
from harness.request import Request, data_sources, named_stand_ins, weights_files
from harness.tracking import Tracker
from harness.trials import Sweep, SweepError
from search_spaces.paper_tables import table_ids, table_space
from search_spaces.space import SpaceError, find_space, space_names
from trainables.presets import PRESETS
from trainables.runtime import DEFAULT_CACHE_BYTES, Runtime, cores
from trainables.settings import SettingsError, parse_assignment
from trainables.store import StoreError
from trainables.video.layouts import LAYOUTS, PARTS, DataError

MOST_WORKERS = 8
TRACKER_SECONDS = 60.0
console = Console()
errors = Console(stderr=True)


class SearchName(StrEnum):
    tpe = "tpe"
    random = "random"
    grid = "grid"


class WandbMode(StrEnum):
    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


def main(
    space: Annotated[
        str | None, typer.Option(help="search space: a name of --list, a file.py, or package.module:SPACE")
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="instead of a space: the rows of a paper's table or figure that are still missing")
    ] = None,
    preset_name: Annotated[str, typer.Option("--preset", help=f"size of everything: {', '.join(PRESETS)}")] = "demo",
    data: Annotated[
        list[str] | None,
        typer.Option(help=f"NAME=DIR, where a data set lies; NAME: {', '.join(LAYOUTS)}; or DIR alone; repeatable"),
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH, its official split lists, or for folder a csv (path,label,...)")
    ] = None,
    stand_in: Annotated[
        list[str] | None, typer.Option(help="NAME=OTHER, the set (or `embedded`) that is read in a set's place; repeatable")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="NETWORK=FILE, weights to start from: alexnet, torchvision's state dict; repeatable"),
    ] = None,
    set_values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, any setting, e.g. finetune.epochs=5; repeatable")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="configurations in all, the paper's rows first")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="seeds per configuration: 0 to N-1")] = 1,
    search: Annotated[SearchName, typer.Option(help="what proposes configurations after the paper's rows")] = SearchName.tpe,
    concurrency: Annotated[int | None, typer.Option(min=1, help="trials at once; default: one per core or GPU")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(min=0, help="default: 1 with a GPU, else 0")] = None,
    name: Annotated[str | None, typer.Option(help="of the sweep; default: made of space, preset, data and changes")] = None,
    runs_dir: Annotated[Path, typer.Option(help="where sweeps are kept")] = Path("runs"),
    store: Annotated[Path | None, typer.Option(help="where finished stages are kept; default: RUNS_DIR/store")] = None,
    cache_gb: Annotated[float, typer.Option(min=0, help="bound of the cache of decoded frames, in GiB")] = DEFAULT_CACHE_BYTES
    / 2**30,
    workers: Annotated[int, typer.Option(min=0, help="processes per trial that load clips; 0: the trial itself")] = 0,
    wandb: Annotated[WandbMode, typer.Option(help="auto: online when a key is configured, else offline")] = WandbMode.auto,
    address: Annotated[
        str | None, typer.Option(help="of a Ray cluster whose nodes share RUNS_DIR; default: this machine")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="run failed trials again")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="show what would run and stop; writes nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="with --plan: as JSON")] = False,
    list_spaces: Annotated[bool, typer.Option("--list", help="show the search spaces and stop")] = False,
) -> None:
    """Sweep a search space; the same command again continues or extends it.

    A configuration's trial pretrains, finetunes and evaluates once per seed; stages that another trial has finished are
    reused. Without --data everything runs on the embedded clips, on a laptop without a GPU.
    """
    if list_spaces:
        for space_name in space_names():
            console.print(f"{space_name:20} {find_space(space_name).summary}", highlight=False, soft_wrap=True)
        for table_id in table_ids():
            console.print(f"{table_id:20} {table_space(table_id, preset_name).summary}", highlight=False, soft_wrap=True)
        return
    gpus = gpus_per_trial if gpus_per_trial is not None else float(torch.cuda.is_available())
    at_once = concurrency or _default_concurrency(gpus)
    runtime = Runtime(
        store=(store or runs_dir / "store").absolute(),
        cache=(runs_dir / "cache").absolute(),
        sources=data_sources(data or [], splits or []),
        weights=weights_files(weights or []),
        cache_bytes=int(cache_gb * 2**30),
        workers=workers,
    )
    request = Request(
        space=space,
        table=table,
        preset=preset_name,
        changes=dict(map(parse_assignment, set_values or [])),
        stand_ins=named_stand_ins(stand_in or []),
        search=search.value,
        trials=trials,
        seeds=seeds,
        name=name,
        runs_dir=runs_dir,
    )
    if plan:
        with tempfile.TemporaryDirectory(prefix="auxgraph-plan-") as scratch:
            sweep = request.sweep(_reading_only(runtime, Path(scratch)))
            _show_plan(sweep, make_plan(sweep, Ledger(sweep.directory), at_once), at_once, as_json)
        return
    runtime.open_store().check_writable()
    with console.status("reading the data ..."):
        sweep = request.sweep(runtime)
    raise typer.Exit(_run(sweep, at_once, gpus, WandbMode(wandb), address, retry_failed))


def _default_concurrency(gpus: float) -> int:
    return max(1, int(torch.cuda.device_count() / gpus)) if gpus else min(MOST_WORKERS, cores())


def _reading_only(runtime: Runtime, scratch: Path) -> Runtime:
    """The runtime with a throw-away cache that sees what the real one holds."""
    if runtime.cache.is_dir():
        for path in runtime.cache.iterdir():
            (scratch / path.name).symlink_to(path)
    return replace(runtime, cache=scratch, cache_bytes=0)


def _show_plan(sweep: Sweep, plan: Plan, at_once: int, as_json: bool) -> None:
    if as_json:
        content = asdict(plan)
        del content["experiments"]
        print(json.dumps(content, indent=1))
        return
    table = Table(title=f"{sweep.name}: {plan.trials} trials", title_justify="left")
    for column in ("configuration", "parameters"):
        table.add_column(column)
    for label, parameters, known in plan.experiments:
        table.add_row(
            label,
            "  ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in parameters.items())
            if known
            else "proposed later",
        )
    console.print(table)
    _show_data(sweep)
    console.print(
        f"{plan.trials_complete} trials complete; stages: {plan.stages_to_run} to run, {plan.stages_done} done, "
        f"{plan.stages_naive} without sharing\n"
        f"about {plan.hours_expected:.2g} hours here with {at_once} at once (networks alone: {plan.hours_low:.2g})",
        highlight=False,
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_data(sweep: Sweep) -> None:
    for name, videos in sweep.datasets().items():
        place = "" if name == videos.dataset else f" ({videos.dataset} in its place)"
        parts = ", ".join(f"{len(videos.part(part))} {part}" for part in PARTS)
        line = f"data {name}{place}: {len(videos.classes)} classes; {parts} videos"
        line += f"; {videos.missing} of the split lists are not on disk" if videos.missing else ""
        console.print(line, highlight=False)
        for skipped in videos.skipped[:5]:
            console.print(f"  skipped {skipped.name}: {skipped.reason}", highlight=False, markup=False)
        if len(videos.skipped) > 5:
            console.print(f"  and {len(videos.skipped) - 5} more videos skipped", highlight=False)


def _run(sweep: Sweep, at_once: int, gpus: float, wandb: WandbMode, address: str | None, retry_failed: bool) -> int:
    sweep.settle_identity()
    ledger = Ledger(sweep.directory)
    _show_data(sweep)
    interrupted = lost = False
    total = sweep.proposals(ledger).size * sweep.seeds
    with Progress(sweep.name, total, sweep.space.objective, str(sweep.directory), console) as progress:
        tracker = Tracker(wandb.value, sweep.directory, sweep.name, on_warning=progress.note)
        books = Bookkeeper(sweep, ledger, tracker, progress, retry_failed)
        try:
            run_trials(books, concurrency=at_once, gpus_per_trial=gpus, address=address)
        except KeyboardInterrupt:
            interrupted = True
        except ClusterLost as error:
            lost = True
            progress.note(str(error))
        finally:
            tracker.close(timeout=TRACKER_SECONDS)
    records = ledger.records()
    _show_results(sweep, records, tracker.description)
    if interrupted or lost:
        console.print("interrupted: the same command continues this sweep")
        return 130 if interrupted else 1
    return 1 if any(record.outcome != "complete" for record in records) else 0


def _show_results(sweep: Sweep, records: list[Record], wandb: str) -> None:
    objective = sweep.space.objective
    scored = [record for record in records if record.outcome == "complete" and objective in record.metrics]
    for record in records:
        if record.outcome == "failed":
            console.print(
                f"failed: trial {record.trial}, {record.row or record.parameters}: {record.reason}",
                style="red",
                markup=False,
            )
    if scored:
        sign = 1 if sweep.space.direction == "maximize" else -1
        best = max(scored, key=lambda record: sign * record.metrics[objective])
        values = ", ".join(f"{name} = {_short(value)}" for name, value in best.parameters.items())
        console.print(f"\nbest trial {best.trial} (seed {best.seed}): {values}", highlight=False)
        console.print(
            "  "
            + ", ".join(
                f"{name} {shown(name, best.metrics[name])}" for name in (objective, "test/top1") if name in best.metrics
            )
            + "\n"
        )
    space = sweep.space
    is_table = space.name in (space.table, space.figure)  # whose cells may be other sweeps' trials
    which = ["--runs-dir", str(sweep.directory.parent), *([] if is_table else ["--sweep", sweep.name])]
    if space.table:
        _report("tables.py", space.table, *which)
        again = shlex.join(["python", "reports/tables.py", space.table, *which])
        console.print(f"\nagain, or as LaTeX or CSV: {again} --format tex", highlight=False)
    if space.figure:
        _report("figures.py", space.figure, *which, "--out", str(sweep.directory))
    console.print(f"results: {sweep.directory / 'ledger.jsonl'}; finished stages: {sweep.runtime.store}", highlight=False)
    console.print(f"W&B: {wandb}", highlight=False, markup=False)


def _report(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, str(REPOSITORY / "reports" / script), *arguments], check=False)


EXAMPLES = """
[bold]Examples[/bold]

sweep.py --space temperatures --seeds 3

sweep.py --space temperatures --plan

sweep.py --space recipes --preset small --data ucf101=UCF-101 --splits ucf101=ucfTrainTestlist

sweep.py --table auxskd/table2 --seeds 3

sweep.py --space temperatures --search grid --set finetune.epochs=10 --set backbone.family=r3d

[bold]Exit codes[/bold]  0 all trials complete, 1 some failed, 2 wrong usage, 130 interrupted
"""


def command() -> None:
    """Run `main` and turn errors of usage into one line and exit code 2."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)
    app.command(epilog=EXAMPLES)(main)
    try:
        app()
    except (SettingsError, SpaceError, SweepError, DataError, StoreError, LedgerError) as error:
        errors.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    command()
