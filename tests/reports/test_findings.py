"""What a sweep found as tables in JSON, against the leaderboard's own numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.identity import write_identity
from harness.ledger import Ledger, Record
from reports.findings import app

METRIC = "validation/top1"


def found(runs: Path, records: list[Record]) -> Any:
    write_identity(runs / "mine", {"space": "mine"})
    ledger = Ledger(runs / "mine")
    ledger.path.touch()
    for record in records:
        ledger.append(record)
    result = CliRunner().invoke(app, ["mine", "--runs-dir", str(runs)])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def rows(table: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def test_tables_are_what_the_ledger_says(make_trial: Callable[..., Record], tmp_path: Path) -> None:
    """Of ten configurations of two seeds the first parameter decides, the second does nothing; a trial failed."""
    records = []
    for index in range(10):
        for seed in range(2):
            failed = (index, seed) == (9, 1)
            records.append(
                make_trial(
                    0.01,
                    0.1,
                    seed,
                    None,
                    trial=f"{index}{seed}",
                    index=index,
                    parameters={"finetune.epochs": index, "finetune.dropout": (index * 7 % 10) / 10, "layers": [index]},
                    metrics={} if failed else {METRIC: index / 10 + seed / 50, "test/top1": 0.25},
                    outcome="failed" if failed else "complete",
                    reason="a full disk" if failed else None,
                )
            )
    said = found(tmp_path, records)
    assert said["summary"] == {
        "configurations": 10,
        "trials": 20,
        "best": "dropout = 0.3, epochs = 9, layers = [9]",
        f"best {METRIC}": pytest.approx(90),
    }
    board = rows(said["tables"]["leaderboard"])
    assert [one["position"] for one in board] == list(reversed(range(10)))
    assert (board[1][METRIC], board[1]["low"], board[1]["high"]) == pytest.approx((81, 80, 82)), "of two seeds the range"
    assert (board[0]["seeds"], board[0]["asked"], board[0]["test/top1"]) == (1, 2, 25)
    assert (board[1]["finetune.epochs"], board[1]["layers"]) == (8, "[8]")
    responses = rows(said["tables"]["responses"])
    assert len(responses) == 20 * 3
    assert next(one for one in responses if one["parameter"] == "finetune.epochs") == {
        "parameter": "finetune.epochs",
        "value": "0",
        "number": 0,
        "seed": 0,
        METRIC: 0,
        "outcome": "complete",
        "row": None,
        "trial": "00",
    }
    assert [one[METRIC] for one in responses if one["trial"] == "91"] == [None] * 3
    tables = said["tables"]
    assert tables["response/finetune.epochs"]["rows"][1] == pytest.approx([0, 2])
    assert len(tables["response/finetune.dropout"]["rows"]) == 19 and "response/layers" not in tables
    shares = {one["parameter"]: one["importance"] for one in rows(said["tables"]["importance"])}
    assert max(shares, key=lambda name: shares[name]) in ("finetune.epochs", "layers")
    assert sum(shares.values()) == pytest.approx(1)


def test_a_sweep_without_trials_has_empty_tables(tmp_path: Path) -> None:
    said = found(tmp_path, [])
    assert said["summary"] == {"configurations": 0, "trials": 0}
    assert {name: table["rows"] for name, table in said["tables"].items()} == {"leaderboard": [], "responses": []}
