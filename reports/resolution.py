"""Says which differences so many seeds can see, before they are run: by how far trials on record differ from seed to seed.

    python reports/resolution.py --preset demo --seeds 3
    python reports/resolution.py --preset demo --seeds 3 --table auxskd/table3

`harness/sweep.py --plan` prints it. Reads `<runs-dir>/*/ledger.jsonl`, offline, and writes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import typer

from harness.ledger import Record
from reports.circumstances import set_name
from reports.command_line import RUNS, RunsDir, chosen, trials_of
from reports.comparison import compare
from reports.groups import sweep_names, used_sets
from reports.leaderboard import DEFAULT, values_of
from reports.power import POWER, Sensitivity, sensitivity
from reports.sheet import counted, listed, number_text
from search_spaces.papers import DOWNSTREAM, PaperTable, paper_tables

MORE = (5, 10, 20, 40)
"""Numbers of seeds of which is said what they see, beside the one asked for."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Resolution:
    """What seeds of a preset can see of a metric. pairs: of configurations, of all sweeps, by whose differences it is told.

    sets: the data sets that their test videos are of. unpaired: the standard deviation, percentage points, that differences
    would have if the two configurations of a pair had seeds of their own.
    """

    metric: str
    pairs: int
    sets: tuple[str, ...]
    seen: Sensitivity
    unpaired: float

    def of(self, seeds: int) -> float:
        """The smallest true difference, percentage points, that two or more seeds find in POWER of all cases."""
        return replace(self.seen, seeds=seeds).detectable


def resolution(sweeps: Iterable[list[Record]], preset: str, metric: str) -> Resolution | None:
    """By the differences of configurations of a sweep from its first one on the same downstream set, paired by seed.

    None where fewer than three such differences are on record, or all are equal.
    """
    samples: list[list[tuple[float, float]]] = []
    sets: set[str] = set()
    for records in sweeps:
        by_set: dict[object, dict[int, list[Record]]] = {}
        for record in records:
            if record.preset == preset:
                by_set.setdefault(record.settings.get(DOWNSTREAM), {}).setdefault(record.index, []).append(record)
        for configurations in by_set.values():
            first, *others = (values_of(configurations[index], metric) for index in sorted(configurations))
            paired = [[(value, first[seed]) for seed, value in one.items() if seed in first] for one in others]
            if several := [sample for sample in paired if len(sample) > 1]:
                samples += several
                sets |= {
                    used.data.dataset
                    for of in configurations.values()
                    for used in used_sets(of[0])
                    if used.role != "pretraining"
                }
    seen = sensitivity(([value - first for value, first in sample], None) for sample in samples)
    if seen is None:
        return None
    squares = sum((len(sample) - 1) * np.var(sample, axis=0, ddof=1).sum() for sample in samples)
    unpaired = math.sqrt(squares / sum(len(sample) - 1 for sample in samples))
    return Resolution(metric, len(samples), tuple(sorted(sets)), seen, unpaired)


def paper_effects(table: PaperTable) -> list[float]:
    """The sizes of a table's published effects, percentage points, the smallest first."""
    (empty,) = compare(table, [])
    effects = (effect.published for row in empty.rows for cell in row.cells for effect in cell.effects)
    return sorted(abs(effect) for effect in effects if effect)


def said(found: Resolution | None, preset: str, metric: str, seeds: int, effects: Sequence[float]) -> list[str]:
    """In words, a sentence each."""
    if found is None:
        return [
            f"which differences {counted(seeds, 'seed')} can see is not known: no sweep of preset {preset} here has "
            f"configurations of two seeds and more with {metric}"
        ]
    more = [number for number in MORE if number > seeds]
    of_more = ", ".join(f"{number} seeds: {number_text(found.of(number), signed=False)}" for number in more)
    sees = f"one seed tells no difference of {metric} from chance"
    if seeds > 1:
        smallest = number_text(found.of(seeds), signed=False)
        sees = f"{seeds} seeds see a difference of {smallest} points of {metric} in {POWER:.0%} of cases"
    lines = [
        f"{sees} ({of_more})" if more else sees,
        f"by {counted(found.pairs, 'pair')} of configurations of preset {preset} on record here, on "
        f"{listed([set_name(name) for name in found.sets])}: from seed to seed their differences vary by "
        f"{number_text(found.seen.spread, signed=False)} points, on the same videos, and would by "
        f"{number_text(found.unpaired, signed=False)} if the two had not the same seeds",
    ]
    if effects:
        of_paper = f"the paper's {counted(len(effects), 'effect')} are of {effects[0]:.1f} to {effects[-1]:.1f} points"
        reached = {number: sum(effect >= found.of(number) for effect in effects) for number in (max(seeds, 2), *more)}
        seen = ", ".join(f"{number} seeds see {of_them}" for number, of_them in reached.items())
        lines.append(f"{of_paper}; {seen} of them")
    return lines


@app.command()
def main(
    preset: Annotated[str, typer.Option(help="Preset of the trials.")] = "demo",
    seeds: Annotated[int, typer.Option(min=1, help="Of every configuration.")] = 3,
    table: Annotated[str | None, typer.Option(help="Paper's table whose effects are in question.")] = None,
    metric: Annotated[str, typer.Option(help="A metric of trials, such as test/top1.")] = DEFAULT.on_test,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Print which differences so many seeds can see, and how many of a paper's effects are as large."""
    effects = paper_effects(chosen([table], paper_tables(), "table")[0]) if table else []
    found = resolution((trials_of(runs_dir, name) for name in sweep_names(runs_dir)), preset, metric)
    print("\n".join(said(found, preset, metric, seeds, effects)))


if __name__ == "__main__":
    app()
