"""What a sweep shows on the terminal before it runs and after it has run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from harness.budget import some_of
from harness.ledger import Record, is_fraction
from trainables.settings import flat
from trainables.video.duplicates import said_of_duplicates
from trainables.video.videos import PARTS, printable

if TYPE_CHECKING:
    from harness.budget import Spending
    from harness.disk import Needed
    from harness.planner import Plan
    from harness.trials import Sweep

FINDINGS_SECONDS = 60.0
REPORTS = Path(__file__).resolve().parents[1] / "reports"


def show_plan(sweep: Sweep, plan: Plan, at_once: int, console: Console) -> None:
    """What would run with so many trials at once, on which data, and how long it would take."""
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
    show_circumstances(sweep, console)
    for note in plan.notes:
        console.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{plan.trials_complete} trials complete; stages: {plan.stages_to_run} to run, {plan.stages_done} done, "
        f"{plan.stages_naive} without sharing\n"
        f"about {_hours(plan.hours_expected)} hours here with {at_once} at once{_why(plan)}",
        highlight=False,
    )
    if plan.extended:
        said = ", ".join(f"{what}{f' ({times} stages)' if times > 1 else ''}" for what, times in plan.extended.items())
        console.print(f"goes on from what is there: {said}", highlight=False, markup=False, soft_wrap=True)
    if sweep.rungs:
        shares = zip(sweep.rungs.epochs[1:], list(sweep.rungs.shares())[1:], strict=True)
        said = ", ".join(f"{share:.0%} go on to {epochs}" for epochs, share in shares)
        console.print(
            f"halving by {sweep.rungs.setting}: of what is proposed about {said}; the paper's rows all",
            highlight=False,
            soft_wrap=True,
        )
    if sweep.confirm:
        more = " and more where effects are undecided" if sweep.confirm.sequential else ""
        console.print(
            f"then {plan.confirming[0]} trials confirm the {sweep.confirm.best} best and the paper's rows, with "
            f"{sweep.confirm.seeds} seeds each{more}: about {_hours(plan.seconds_confirming / 3600 / at_once)} hours",
            highlight=False,
        )
    show_disk(plan.disk, console)


def show_resolution(sweep: Sweep, console: Console) -> None:
    """Which differences so many seeds can see, by the trials that are on record beside the sweep."""
    objective, runs = sweep.space.objective, sweep.directory.parent
    if runs.is_dir() and is_fraction(objective):
        metric = objective.replace("validation/", "test/")
        table = ["--table", sweep.space.table] if sweep.space.table else []
        asked = ["--preset", sweep.preset, "--seeds", str(sweep.seeds), "--metric", metric]
        console.print("power: ", end="", style="bold")
        _report("resolution.py", *asked, *table, "--runs-dir", str(runs))


def show_disk(disk: Needed, console: Console) -> None:
    """What the disk has to hold, and a warning where it does not."""
    warning = "" if disk.fits else ": not enough; the sweep pauses when the disk is full, until there is room"
    console.print(f"{disk}{warning}", style=None if disk.fits else "yellow", highlight=False, soft_wrap=True)


def show_budget(spending: Spending, plan: Plan, within: int, console: Console) -> None:
    """How many of the trials that the plan would run are expected to end within the budget, and which are not."""
    names = [name for name, _ in plan.pending]
    left = f"; left out: {some_of(names[within:])}" if within < len(names) else ""
    known = any(seconds for _, seconds in plan.pending)
    said = f"holds about {within} of {len(names)} trials to run{left}" if known else "what trials take is not known yet"
    console.print(f"budget of {spending.budget.text if spending.budget else ''}: {said}", highlight=False, soft_wrap=True)


def show_circumstances(sweep: Sweep, console: Console) -> None:
    """What the space was narrowed to, and each data set with what is missing of it."""
    if sweep.narrowing:
        narrowed = ", ".join(f"{name}={value}" for name, value in sweep.narrowing.items())
        left_out = f"; {sweep.rows_left_out} rows of {sweep.space.name} are left out" if sweep.rows_left_out else ""
        console.print(f"narrowed to {narrowed}{left_out}", highlight=False, markup=False)
    for network, path in sweep.runtime.weights:
        said = _said_of_weights(path, flat(sweep.configured({})))
        console.print(f"weights {network}: {said}", highlight=False, markup=False, soft_wrap=True)
    for name, videos in sweep.datasets().items():
        place = "" if name == videos.dataset else f" ({videos.dataset} in its place)"
        parts = ", ".join(f"{len(videos.part(part))} {part}" for part in PARTS)
        line = f"data {name}{place}: {len(videos.classes)} classes; {parts} videos"
        line += f"; {videos.missing} of the split lists are not on disk" if videos.missing else ""
        console.print(line, highlight=False)
        for note in (*videos.notes, *said_of_duplicates(videos)):
            console.print(f"  {note}", style="yellow", highlight=False, markup=False)
        for skipped in videos.skipped[:5]:
            console.print(f"  skipped {printable(skipped.name)}: {skipped.reason}", highlight=False, markup=False)
        if len(videos.skipped) > 5:
            console.print(f"  and {len(videos.skipped) - 5} more videos skipped", highlight=False)


def _said_of_weights(path: Path, settings: Mapping[str, Any]) -> str:
    """settings: what trials have that vary nothing."""
    from trainables.models.imported import PIXELS, described

    try:
        found = described(path)
    except ValueError as error:
        return str(error)
    pixels = found.settings.get(PIXELS)
    others = {name: value for name, value in found.settings.items() if json.dumps(settings.get(name)) != json.dumps(value)}
    not_set = f"; trials have {', '.join(f'{name}={settings[name]}' for name in others)}" if others else ""
    return f"{found}{f', which sees pixels as {pixels}' if pixels else ''}, from {path}{not_set}"


def show_results(sweep: Sweep, records: Sequence[Record], old: int, watched: Mapping[str, str], console: Console) -> None:
    """What failed, the leaderboard, the paper's table or figure of the space, and where everything is.

    records: those that stand; old: how many do not. watched: by what people call it, where what was tracked is.
    """
    if old:
        why = "afresh, by other code, or with a later version of a stage"
        console.print(f"{old} trials were run again ({why}): the old ones do not count")
    for record in records:
        if record.outcome == "failed":
            console.print(
                f"failed: trial {record.trial}, {record.row or record.parameters}: {record.reason}",
                style="red",
                markup=False,
            )
    space = sweep.space
    is_table = space.name in (space.table, space.figure)  # whose cells may be other sweeps' trials
    runs = ["--runs-dir", str(sweep.directory.parent)]
    which = [*runs, *([] if is_table else ["--sweep", sweep.name])]
    store = ["--store", str(sweep.runtime.store)]
    if sweep.confirm:
        console.print()
        _report("confirm.py", sweep.name, *runs)
    if not is_table:
        console.print()
        _report("sweep.py", sweep.name, *runs, *store, "--short")
    if space.table:
        _report("tables.py", space.table, *which, *store)
        again = shlex.join(["python", "reports/tables.py", space.table, *which, *store])
        console.print(f"\nagain, or as LaTeX or CSV: {again} --format tex", highlight=False)
    if space.figure:
        _report("figures.py", space.figure, *which, "--out", str(sweep.directory))
    page = shlex.join(["python", "reports/page.py", sweep.name, *runs, *store])
    console.print(f"to look at: {page}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"results: {sweep.directory / 'ledger.jsonl'}; finished stages: {sweep.runtime.store}", highlight=False)
    for title, where in watched.items():
        console.print(f"{title}: {where}", highlight=False, markup=False)


def findings_of(sweep: Sweep) -> dict[str, Any] | None:
    """What it found, as tables and a summary; None where that cannot be told."""
    command = [sys.executable, str(REPORTS / "findings.py"), sweep.name, "--runs-dir", str(sweep.directory.parent)]
    try:
        said = subprocess.run(command, capture_output=True, check=True, timeout=FINDINGS_SECONDS).stdout
        found: dict[str, Any] = json.loads(said)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found


def seeds_to_confirm(sweep: Sweep) -> dict[int, int]:
    """With how many seeds, by its ledger, each configuration that is to be confirmed is to be run. Raises SweepError."""
    from harness.trials import SweepError

    command = [sys.executable, str(REPORTS / "confirm.py"), sweep.name, "--runs-dir", str(sweep.directory.parent), "--seeds"]
    try:  # for as long as it takes: all that was asked for has ended, and without an answer nothing goes on
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        return {int(index): seeds for index, seeds in json.loads(said).items()}
    except subprocess.CalledProcessError as error:
        raise SweepError(f"what is to be confirmed cannot be told: {error.stderr.strip()}") from None
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise SweepError(f"what is to be confirmed cannot be told: {error}") from None


def _report(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, str(REPORTS / script), *arguments], check=False)


def _why(plan: Plan) -> str:
    """What the expected hours stand on."""
    if not plan.stages_to_run:
        return ""
    if plan.stages_measured == plan.stages_to_run:
        return ", by what stages like these took here"
    networks = f"networks alone: {_hours(plan.hours_low)}"
    if not plan.stages_measured:
        return f", by a measurement of the networks ({networks})"
    return f", {plan.stages_measured} stages by what stages like them took here, the others by a measurement ({networks})"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
