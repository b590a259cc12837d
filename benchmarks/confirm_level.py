"""How often `--confirm` with `--budget` calls pure noise an effect, by its own rule on made-up ledgers.

    python benchmarks/confirm_level.py
    python benchmarks/confirm_level.py --sweeps 4000

Every configuration is as good as any other, and seeds differ by noise alone. In each made-up sweep the search sees one seed,
the reference is the row that this seed has best, and the three best and the rows get seeds until the rule asks for no more.
Beside it: paired t tests at 5 % after 5, 10, 20, 40 and 80 seeds. Two minutes on a core.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import typer

from harness.identity import Confirm
from harness.ledger import Record
from reports.confirmation import Confirmation, confirmation
from reports.leaderboard import Objective
from reports.seeds import SIGNIFICANCE, paired_test
from search_spaces.papers import paper_tables

TABLE = "auxskd/table3"
ROWS, SEARCHED, BEST, FIRST, SEEDS, MOST = 2, 8, 3, 1, 5, 160
"""Rows of the table, configurations that the search has beside them; what `--confirm` asks for; seeds that there are."""
SPREAD = 2.0
"""Percentage points between seeds of one configuration, beside which the rows' published effect takes tens of seeds to see."""
PLAIN_LOOKS = (5, 10, 20, 40, 80)


def made_up_sweep(rng: np.random.Generator) -> list[Record]:
    """All that may be asked for; validation and test videos have noise of their own."""
    rows = [row for row in paper_tables()[TABLE].rows if not row.quoted][:ROWS]
    noise = rng.normal(50, SPREAD, (ROWS + SEARCHED, MOST, 2))
    chosen = {*range(ROWS), *np.argsort(-noise[:, 0, 0])[:BEST].tolist()}
    records: list[Record] = []
    for position, reached in enumerate(noise):
        row = rows[position] if position < ROWS else None
        temperature = 0.001 * (position + 1)
        own = {"auxskd.teacher_temperature": temperature, "auxskd.student_temperature": temperature}
        parameters = {**own, **(row.parameters if row else {})}
        for seed, (validation, test) in enumerate(reached if position in chosen else reached[:FIRST]):
            records.append(_record(position, row and row.label, parameters, seed, validation, test))
    return records


def _record(position: int, label: str | None, parameters: dict[str, Any], seed: int, validation: float, test: float) -> Record:
    settings = {
        "recipe": "auxskd_pretext",
        "pretext.task": "vspp",
        "data.pretraining": "kinetics100",
        "data.downstream": "ucf101",
        "backbone.family": "r2plus1d",
        "backbone.depth": 18,
        "backbone.width": 64,
        **parameters,
    }
    described = {"fingerprint": "", "classes": 101, "train": 1, "validation": 1, "test": 1, "missing": 0, "skipped": {}}
    return Record.model_construct(
        trial=f"{position}-{seed}",
        index=position,
        row=label,
        space="temperatures",
        preset="paper",
        parameters=parameters,
        settings=settings,
        data={"pretraining": {"dataset": "kinetics100", **described}, "downstream": {"dataset": "ucf101", **described}},
        seed=seed,
        stages={},
        metrics={"validation/top1": validation / 100, "test/top1": test / 100},
        seconds={},
        outcome="complete",
        reason=None,
        versions={"protocol": "1"},
        command="made up",
    )


def confirmed(records: list[Record]) -> Confirmation:
    asked = Confirm(BEST, SEEDS, FIRST, sequential=True)
    return confirmation(records, Objective("validation/top1", confirm=asked), asked, paper_tables()[TABLE])


def wrong(sweeps: int, seed: int = 0) -> tuple[int, int, list[int]]:
    """In how many sweeps something of the search is called better or worse; an effect of the paper's rows one that agrees or
    disagrees; and how many looks each took."""
    rng = np.random.default_rng(seed)
    of_search = of_rows = 0
    looks = []
    for _ in range(sweeps):
        found = confirmed(made_up_sweep(rng))
        of_search += any(one.verdict in ("better", "worse") for one in found.questions)
        of_rows += any(one.verdict in ("agrees", "disagrees") for one in found.questions)
        looks.append(found.looks)
    return of_search, of_rows, looks


def plain(sweeps: int, seed: int = 0) -> int:
    """In how many rows of tests at 5 % any is passed by noise."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(sweeps):
        differences = rng.normal(0, 1, PLAIN_LOOKS[-1])
        tests = [paired_test(differences[:seeds].tolist()) for seeds in PLAIN_LOOKS]
        found += any(test is not None and test.p < SIGNIFICANCE for test in tests)
    return found


def _share(count: int, of: int) -> str:
    share = count / of
    return f"{share:.1%} (standard error {math.sqrt(share * (1 - share) / of):.1%})"


def main(sweeps: Annotated[int, typer.Option(min=1)] = 1500) -> None:
    """Make sweeps up, and count what is called an effect."""
    of_search, of_rows, looks = wrong(sweeps)
    print(f"{sweeps} sweeps of noise, {np.mean(looks):.1f} looks in the mean, {max(looks)} at most")
    print(f"something that the search found is called better or worse: {_share(of_search, sweeps)}")
    print(f"an effect of the paper's rows is called one: {_share(of_rows, sweeps)}")
    print(f"plain tests at 5 % at five looks: {_share(plain(sweeps), sweeps)}")


if __name__ == "__main__":
    typer.run(main)
