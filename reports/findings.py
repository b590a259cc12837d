"""What a sweep found, as plain tables in JSON: for W&B and TensorBoard, which show it as a run of its own.

    python reports/findings.py temperatures-demo

`leaderboard`: a row per configuration, the best first. `responses`: a row per trial and parameter, with what it reached.
`response/<parameter>`: the numbers among those. `importance`: a row per parameter, where there are enough configurations. One
with a `chart`, which says how, can be drawn with its first two columns as axes. Fractions are percent, as in reports/sweep.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import json
from typing import Annotated, Any

import typer

from reports.command_line import RUNS, RunsDir, board_of
from reports.importance import importances, is_number
from reports.leaderboard import Leaderboard, Ranked, values_of
from reports.leaderboard_sheet import name_of
from reports.sheet import scalar

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a sweep.")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Print what a sweep found as tables in JSON."""
    board, _ = board_of(runs_dir, name)
    print(json.dumps(findings(board)))


def findings(board: Leaderboard) -> dict[str, Any]:
    """`summary`, what there is to say in a word or number, and `tables` by name, each with `columns` and `rows`."""
    best, metric = board.best, board.objective.metric
    summary: dict[str, Any] = {"configurations": len(board.ranked), "trials": len(board.records)}
    if best is not None and best.objective is not None:
        summary |= {"best": name_of(best), f"best {metric}": best.objective.mean}
    responses = _responses(board)
    tables: dict[str, dict[str, Any]] = {"leaderboard": _leaderboard(board), "responses": responses}
    tables |= _response_of_each(responses)
    if shares := importances(board):
        rows = [list(one) for one in shares.items()]
        tables["importance"] = {"columns": ["parameter", "importance"], "rows": rows, "chart": "bar"}
    return {"summary": summary, "tables": tables}


def _leaderboard(board: Leaderboard) -> dict[str, list[Any]]:
    names = sorted({name for one in board.ranked for name in one.parameters})
    metric, on_test = board.objective.metric, board.objective.on_test
    columns = ["position", "row", *names, metric, "low", "high", "seeds", "asked", on_test, "chance", "behind", "p", "seconds"]
    return {"columns": columns, "rows": [_configuration(one, names) for one in board.ranked]}


def _configuration(one: Ranked, names: list[str]) -> list[Any]:
    reached = one.objective
    low, high = (reached.interval if reached else None) or (None, None)
    numbers = [reached.mean if reached else None, low, high, one.complete, one.asked, one.test.mean if one.test else None]
    against = [one.chance, one.behind.mean if one.behind else None, one.p]
    return [one.position, one.label, *(scalar(one.parameters.get(name)) for name in names), *numbers, *against, one.seconds[0]]


def _responses(board: Leaderboard) -> dict[str, list[Any]]:
    rows = []
    for one in sorted(board.ranked, key=lambda one: one.position):
        reached = values_of(one.records, board.objective.metric)
        for record in one.records:
            for name, value in one.parameters.items():
                known = [record.seed, reached.get(record.seed), record.outcome, one.label, record.trial]
                rows.append([name, str(scalar(value)), value if is_number(value) else None, *known])
    columns = ["parameter", "value", "number", "seed", board.objective.metric, "outcome", "row", "trial"]
    return {"columns": columns, "rows": rows}


def _response_of_each(responses: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """By parameter: its numbers, and what complete trials reached with them."""
    reached = responses["columns"][4]
    found: dict[str, dict[str, Any]] = {}
    for parameter, _, number, _, value, *_ in responses["rows"]:
        if number is not None and value is not None:
            table = {"columns": [parameter, reached], "rows": [], "chart": "scatter"}
            found.setdefault(f"response/{parameter}", table)["rows"].append([number, value])
    return found


if __name__ == "__main__":
    app()
