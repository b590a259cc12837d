"""The command: sweep a search space, or continue or extend the sweep of the same name.

    python harness/sweep.py --space temperatures
    python harness/sweep.py --space temperatures --preset small --data ucf101=UCF-101 --splits ucf101=ucfTrainTestlist

State is on disk: the same command continues what was interrupted and adds what is new (more --trials, more --seeds).
Exit codes: 0 all trials complete, 1 some failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import functools
import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import typer
from rich.console import Console
from rich.table import Table

from harness.executor import REPOSITORY, Bookkeeper, ClusterLost, run_trials
from harness.ledger import Ledger, LedgerError, Record
from harness.planner import Plan, Sweep, SweepError, make_plan
from harness.progress import Progress
from harness.tracking import Tracker
from search_spaces.space import SpaceError, check_space, find_space, space_names
from trainables.pipeline import digest
from trainables.runtime import DEFAULT_CACHE_BYTES, Runtime, cores, open_data
from trainables.settings import PRESETS, SettingsError, parse_assignment, preset, with_values
from trainables.store import StoreError
from trainables.video.layouts import LAYOUTS, DataError, DataSource, VideoSet

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
    preset_name: Annotated[str, typer.Option("--preset", help=f"size of everything: {', '.join(PRESETS)}")] = "demo",
    data: Annotated[
        list[str] | None, typer.Option(help=f"NAME=DIR, where a data set lies; NAME: {', '.join(LAYOUTS)}; repeatable")
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH, its official split lists, or for folder a csv (path,label,...)")
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
            console.print(f"{space_name:14} {find_space(space_name).summary}", highlight=False)
        return
    if space is None:
        raise SpaceError(f"--space is missing; valid spaces: {', '.join(space_names())}")
    gpus = gpus_per_trial if gpus_per_trial is not None else float(torch.cuda.is_available())
    at_once = concurrency or _default_concurrency(gpus)
    runtime = Runtime(
        store=(store or runs_dir / "store").absolute(),
        cache=(runs_dir / "cache").absolute(),
        sources=_sources(data or [], splits or []),
        cache_bytes=int(cache_gb * 2**30),
        workers=workers,
    )
    changes = dict(map(parse_assignment, set_values or []))
    make_sweep = functools.partial(_sweep, space, preset_name, changes, search, trials, seeds, name, runs_dir)
    if plan:
        with tempfile.TemporaryDirectory(prefix="auxgraph-plan-") as scratch:
            sweep = make_sweep(_reading_only(runtime, Path(scratch)))
            _show_plan(sweep, make_plan(sweep, Ledger(sweep.directory), at_once), at_once, as_json)
        return
    runtime.open_store().check_writable()
    with console.status("reading the data ..."):
        sweep = make_sweep(runtime)
    raise typer.Exit(_run(sweep, at_once, gpus, WandbMode(wandb), address, retry_failed))


def _default_concurrency(gpus: float) -> int:
    return max(1, int(torch.cuda.device_count() / gpus)) if gpus else min(MOST_WORKERS, cores())


def _sources(data: list[str], splits: list[str]) -> tuple[tuple[str, DataSource], ...]:
    roots, lists = (_named_paths(option, values) for option, values in (("--data", data), ("--splits", splits)))
    if lonely := sorted(lists.keys() - roots.keys()):
        raise SweepError(f"--splits names {', '.join(lonely)}, which no --data gives")
    return tuple((name, DataSource(root, lists.get(name))) for name, root in sorted(roots.items()))


def _named_paths(option: str, values: list[str]) -> dict[str, Path]:
    paths = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not path:
            raise SweepError(f"{option} {value!r}: expected NAME=PATH, for example {option} ucf101=/data/UCF-101")
        if name not in LAYOUTS:
            raise SweepError(f"{option}: unknown data set '{name}'; valid: {', '.join(LAYOUTS)}")
        paths[name] = Path(path).expanduser().absolute()
        if not paths[name].exists():
            raise SweepError(f"{option} {value!r}: there is nothing at {path}")
    return paths


def _sweep(
    space_name: str,
    preset_name: str,
    changes: dict[str, Any],
    search: SearchName,
    trials: int | None,
    seeds: int,
    name: str | None,
    runs_dir: Path,
    runtime: Runtime,
) -> Sweep:
    space = find_space(space_name)
    given = [dataset for dataset, _ in runtime.sources]
    datasets = {}
    if len(given) == 1:
        datasets = {"data.pretraining": given[0], "data.downstream": given[0]}
    elif len(given) > 1 and not {"data.pretraining", "data.downstream"} <= changes.keys():
        raise SweepError("with several --data say which is for what: --set data.pretraining=NAME --set data.downstream=NAME")
    settings = with_values(preset(preset_name), {**datasets, **space.base, **changes})
    check_space(space, settings)
    used = sorted({settings.data.pretraining, settings.data.downstream})
    parts = [space.name, preset_name, *(dataset for dataset in used if dataset != "embedded")]
    parts += [search.value] if search != SearchName.tpe else []
    parts += [digest(changes)[:6]] if changes else []
    sweep_name = name or "-".join(parts)
    if Path(sweep_name).name != sweep_name:
        raise SweepError(f"--name {sweep_name!r}: a plain name, without a path")
    configurations = trials or (len(space.rows) + len(space.grid()) if search == SearchName.grid else space.trials)
    return Sweep(
        name=sweep_name,
        directory=runs_dir / sweep_name,
        space=space,
        preset=preset_name,
        settings=settings,
        search=search.value,
        trials=configurations,
        seeds=seeds,
        runtime=runtime,
        data=open_data(settings.data, runtime),
        command=shlex.join(["python", "harness/sweep.py", *sys.argv[1:]]),
    )


def _reading_only(runtime: Runtime, scratch: Path) -> Runtime:
    """The runtime with a throw-away cache that sees what the real one holds."""
    if runtime.cache.is_dir():
        for path in runtime.cache.iterdir():
            (scratch / path.name).symlink_to(path)
    return Runtime(runtime.store, scratch, runtime.sources, 0, runtime.device, runtime.workers)


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
    for videos in {videos.dataset: videos for videos in sweep.data.values()}.values():
        _show_data(videos)
    console.print(
        f"{plan.trials_complete} trials complete; stages: {plan.stages_to_run} to run, {plan.stages_done} done, "
        f"{plan.stages_naive} without sharing\n"
        f"about {plan.hours_expected:.2g} hours here with {at_once} at once (networks alone: {plan.hours_low:.2g})",
        highlight=False,
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_data(videos: VideoSet) -> None:
    parts = ", ".join(f"{len(getattr(videos, part))} {part}" for part in ("train", "validation", "test"))
    line = f"data {videos.dataset}: {len(videos.classes)} classes; {parts} videos"
    line += f"; {videos.missing} of the split lists are not on disk" if videos.missing else ""
    console.print(line, highlight=False)
    for skipped in videos.skipped[:5]:
        console.print(f"  skipped {skipped.name}: {skipped.reason}", highlight=False, markup=False)
    if len(videos.skipped) > 5:
        console.print(f"  and {len(videos.skipped) - 5} more videos skipped", highlight=False)


def _run(sweep: Sweep, at_once: int, gpus: float, wandb: WandbMode, address: str | None, retry_failed: bool) -> int:
    sweep.settle_identity()
    ledger = Ledger(sweep.directory)
    for videos in {videos.dataset: videos for videos in sweep.data.values()}.values():
        _show_data(videos)
    interrupted = lost = False
    total = sweep.trials * sweep.seeds
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
            f"  {objective} {100 * best.metrics[objective]:.1f} %, test/top1 {100 * best.metrics['test/top1']:.1f} %\n"
        )
    if sweep.space.table:
        command = [sweep.space.table, "--runs-dir", str(sweep.directory.parent)]
        subprocess.run(
            [sys.executable, str(REPOSITORY / "reports" / "tables.py"), *command, "--sweep", sweep.name],
            check=False,
        )
        console.print(
            f"\nagain, or as LaTeX or CSV: python reports/tables.py {shlex.join(command)} --format tex", highlight=False
        )
    console.print(f"results: {sweep.directory / 'ledger.jsonl'}; finished stages: {sweep.runtime.store}", highlight=False)
    console.print(f"W&B: {wandb}", highlight=False, markup=False)


EXAMPLES = """
[bold]Examples[/bold]

sweep.py --space temperatures --seeds 3

sweep.py --space temperatures --plan

sweep.py --space recipes --preset small --data ucf101=UCF-101 --splits ucf101=ucfTrainTestlist

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
