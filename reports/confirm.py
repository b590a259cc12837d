"""Whether what a sweep found is better, by seeds that its search has not seen, and which effects seeds have decided.

    python reports/confirm.py temperatures-demo
    python reports/confirm.py temperatures-demo --out confirmed.csv

Of a sweep that was run with `--confirm`. Reads `<runs-dir>/<sweep>/`, offline; writes nothing but what `--out` names.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from harness.identity import TABLE, read_identity
from reports.command_line import FAILED, RUNS, WRONG_USAGE, FileFormat, OutFile, RunsDir, fail, give, trials_of
from reports.confirmation import Confirmation, Question, confirmation
from reports.leaderboard import objective_of
from reports.sheet import Grid, Line, Section, Sheet, counted, estimate_text, number_text, p_text
from search_spaces.papers import paper_tables

_RULES = (
    "Effect: mean over seeds, in percentage points of its metric [95 % interval, Student's t]. What the search found is set "
    "against the best of the paper's rows by the search's own objective on validation videos, and by seeds that it has not "
    "seen; effects of the paper are of test videos and all seeds. Verdicts are those of the paper's table; p is corrected for "
    "all effects of its kind (Holm). With seeds added where effects are undecided, half of 5 % is spent at the first look, and "
    "at each later one half of what is left; what one look decides stands. Seen: the smallest effect that a test of this one "
    "alone at 5 %, without correction and looks, finds with so many seeds in 80 % of cases. Needed: seeds with which it would "
    "find one as large as the paper's; for what the search found, as large as the largest of its table. At a lower level "
    "both are more."
)
_COLUMNS = ("effect", "metric", "published", "mean", "seeds", "p", "verdict", "detectable", "size", "needed")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a sweep.")],
    runs_dir: RunsDir = RUNS,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Only how many seeds each position is to have, as JSON, and stop.")
    ] = False,
    file_format: FileFormat = None,
    out: OutFile = None,
) -> None:
    """Print what the seeds say that confirm a sweep, and which effects they leave undecided."""
    trials = trials_of(runs_dir, name)
    try:
        identity = read_identity(runs_dir / name)
    except OSError as error:
        fail(FAILED, f"{error.filename}: {error.strerror}")
    objective = objective_of(identity)
    if objective.confirm is None:
        fail(WRONG_USAGE, f"sweep '{name}' was not run with --confirm: nothing was to be confirmed")
    found = confirmation(trials, objective, objective.confirm, paper_tables().get(str(identity.get(TABLE))))
    if seeds:
        print(json.dumps(found.seeds))
        return
    give([_sheet(name, found)], out, file_format)


def _sheet(name: str, found: Confirmation) -> Sheet:
    grid = (Grid("Effects that seeds are to decide", _headings(), tuple(map(_row, found.questions)), 2),)
    section = Section(_headline(found), tuple(_notes(found)), grid if found.questions else ())
    title = f"What confirms sweep {name}"
    return Sheet(f"confirm/{name}", title, "", (section,), _RULES, _COLUMNS, tuple(map(_line, found.questions)))


def _headline(found: Confirmation) -> str:
    if not found.looks:
        return f"The {found.asked.seeds} seeds have not all ended: nothing is confirmed yet"
    better = [one.name for one in found.questions if one.verdict == "better"]
    of_search = any(one.published is None for one in found.questions)
    return f"Better: {', '.join(better)}" if better else "Nothing is shown to be better" if of_search else "The paper's effects"


def _notes(found: Confirmation) -> Iterator[str]:
    own = [position for position in found.picked if position not in found.rows]
    yield (
        f"confirmed: {counted(len(found.rows), 'row')} of the paper, and of the {found.asked.best} best by "
        f"{counted(found.asked.first, 'seed')} of the search {', '.join(f'#{one}' for one in own) or 'none that is not one'}"
    )
    numbers = sorted(set(found.seeds.values()))
    yield f"seeds: {numbers[0]} to {numbers[-1]} each" if len(numbers) > 1 else f"seeds: {numbers[0] if numbers else 0} each"
    if not found.is_over and found.looks:
        yield "seeds that were asked for since have not all ended: what is said is of the last look at which all had"
    if open_ones := [one for one in found.questions if one.verdict is None]:
        yield f"undecided: {len(open_ones)} of {counted(len(found.questions), 'effect')}"
    if (more := [one for one in found.questions if one.wants_more]) and not found.asked.sequential:
        most = max(one.needed or 0 for one in more)
        yield (
            f"{counted(len(more), 'effect')} as large as the paper's may have been missed: up to {most} seeds would show them, "
            "which --budget adds"
        )


def _headings() -> tuple[str, ...]:
    return ("effect", "of", "paper", "ours", "seeds", "p", "verdict", "seen", "needed")


def _row(one: Question) -> tuple[str, ...]:
    ours = estimate_text(one.ours, signed=True) if one.ours else "-"
    numbers = (number_text(one.published, signed=True), ours, str(len(one.differences)))
    said = (p_text(one.p) if one.p is not None else "-", one.verdict or "undecided")
    return (one.name, one.metric, *numbers, *said, number_text(one.detectable, signed=False), _needed(one))


def _needed(one: Question) -> str:
    return str(one.needed) if one.needed else "-"


def _line(one: Question) -> Line:
    values = (one.name, one.metric, one.published, one.ours.mean if one.ours else None, len(one.differences), one.p)
    said = (one.verdict or "undecided", one.detectable, one.size, one.needed)
    return dict(zip(_COLUMNS, ("" if value is None else value for value in (*values, *said)), strict=True))


if __name__ == "__main__":
    app()
