"""Runs everything at preset demo, and writes what all reports say of it: the gallery, made anew by one command.

    python reports/gallery.py
    python reports/gallery.py --seeds 5 --runs-dir runs-gallery --out docs/gallery

From an empty `--runs-dir` this takes hours of a laptop; interrupted, the same command goes on. It runs `harness/sweep.py` for
each table and figure of the papers, and for one space with what the search proposes, all with the same seeds, then writes the
files of `--out`: tables, figures, backbones, a leaderboard, the papers' claims, and a README.md that says how they came about.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import shlex
import subprocess
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from reports.command_line import FAILED, RunsDir, fail, trials_of, write
from reports.figures import FIGURES
from reports.sheet import counted, time_text
from reports.tables import NUMBERED
from search_spaces.papers import PaperTable, paper_tables

ROOT = Path(__file__).resolve().parents[1]
SPACE, CONFIGURATIONS = "temperatures", 12
"""Of which the search proposes configurations beyond the paper's rows, so that there is a leaderboard of both."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(context_settings={"allow_extra_args": True})
def main(
    context: typer.Context,
    seeds: Annotated[int, typer.Option(min=1, help="Of every configuration.")] = 3,
    runs_dir: RunsDir = Path("runs-gallery"),
    out: Annotated[Path, typer.Option(help="Directory of what is written.")] = Path("docs/gallery"),
) -> None:
    """Run the sweeps of all tables and figures and write what the reports make of them. Behind `--`: options of the sweeps."""
    tables = list(paper_tables().values())
    commands = list(_sweeps(tables, seeds, runs_dir, context.args))
    for command in commands:
        _run(command, allowed=(FAILED,))  # the reports say which trials failed, as those without weights to start from do
    for command in _reports(tables, runs_dir, out):
        _run(command)
    anywhere = list(_sweeps(tables, seeds, Path(runs_dir.name), context.args))
    write(out / "README.md", _readme(tables, anywhere, runs_dir, seeds).encode())


def _sweeps(tables: Sequence[PaperTable], seeds: int, runs_dir: Path, options: Sequence[str]) -> Iterator[list[str]]:
    common = ["--seeds", str(seeds), "--runs-dir", str(runs_dir), *options]
    for table in tables:
        yield ["harness/sweep.py", "--table", table.id, *common]
    yield ["harness/sweep.py", "--space", SPACE, "--trials", str(CONFIGURATIONS), "--name", SPACE, *common]


def _reports(tables: Sequence[PaperTable], runs_dir: Path, out: Path) -> Iterator[list[str]]:
    runs = ["--runs-dir", str(runs_dir)]
    yield [
        "reports/tables.py",
        *(table.id for table in tables if table.id in NUMBERED),
        "--format",
        "md",
        "--out",
        str(out),
        *runs,
    ]
    yield ["reports/figures.py", "--format", "png", "--out", str(out), *runs]
    yield ["reports/backbones.py", "--out", str(out / "backbones.md"), *runs]
    yield ["reports/teachers.py", "--out", str(out / "teachers.md"), *runs]
    yield ["reports/sweep.py", SPACE, "--out", str(out / "leaderboard.md"), *runs]
    yield ["reports/claims.py", "--out", str(out / "claims.md"), *runs]
    yield ["reports/page.py", *runs]


def _run(command: Sequence[str], allowed: Sequence[int] = ()) -> None:
    """Ends the command where one fails, with its exit code, unless that is one of those allowed."""
    print(f"\n$ {shlex.join(['python', *command])}", flush=True)
    script, *arguments = command
    code = subprocess.run([sys.executable, str(ROOT / script), *arguments], check=False).returncode
    if code not in (0, *allowed):
        fail(code if code > 0 else FAILED, f"ended with {code}: {script}; the same command goes on from there")


def _readme(tables: Sequence[PaperTable], commands: Sequence[Sequence[str]], runs_dir: Path, seeds: int) -> str:
    trials = trials_of(runs_dir, None)
    used = sum(time.used for trial in trials for time in trial.seconds.values())
    saved = sum(time.saved for trial in trials for time in trial.seconds.values())
    complete = sum(trial.outcome == "complete" for trial in trials)
    codes = sorted({whose.partition("(")[2].rstrip(")") for trial in trials for whose in trial.code.values()} - {""})
    lines = [
        "# Gallery: everything at preset `demo`",
        "",
        f"**Demo.** Small networks, small frames, embedded clips in place of every data set, {counted(seeds, 'seed')}:",
        "this shows what the commands make and that every row runs. The numbers say nothing about the papers;",
        "[../results.md](../results.md) has runs on real video. Written by `python reports/gallery.py`.",
        "",
        f"{complete} of {counted(len(trials), 'trial')} complete; {time_text(used)} computed, where alone they",
        f"would have taken {time_text(used + saved)}. Code: {', '.join(codes) or 'not recorded'}.",
        "",
        "| of the papers | here |",
        "|---|---|",
        *(f"| {table.id}: {table.title} | {_links(table)} |" for table in tables),
        "",
        "What each backbone is worth, frozen and finetuned: [backbones.md](backbones.md). A space's rows and what the search",
        "proposes: [leaderboard.md](leaderboard.md). Whether the graphs' teachers teach: [teachers.md](teachers.md). What the",
        "papers claim: [claims.md](claims.md).",
        "",
        *(f"![{table.id}]({table.file_stem}.png)\n" for table in tables if table.id in FIGURES),
        "The sweeps:",
        "",
        *(f"    {shlex.join(['python', *command])}" for command in commands),
    ]
    return "\n".join(lines) + "\n"


def _links(table: PaperTable) -> str:
    printed = [f"[table]({table.file_stem}.md)"] if table.id in NUMBERED else []
    return ", ".join([*printed, *([f"[figure]({table.file_stem}.png)"] if table.id in FIGURES else [])])


if __name__ == "__main__":
    app()
