"""A sweep as an Optuna study, in a journal that optuna-dashboard and Optuna open. The ledger stays the truth.

    python reports/study.py temperatures-demo --out study.journal
    optuna-dashboard study.journal

A configuration is a trial: its value is the mean of the objective over its seeds, which are among its attributes. One of which
seeds have not ended is shown as running, as the search has not been told of it either. What it reached at rungs are its
intermediate values, by epochs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import fmean
from typing import Annotated, Any

import optuna
import typer
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.identity import RANGES
from reports.command_line import FAILED, RUNS, WRONG_USAGE, RunsDir, board_of, fail, write
from reports.importance import is_number
from reports.leaderboard import Leaderboard, Ranked
from reports.sheet import scalar

MARK = "written by auxgraph"
"""Attribute of a study that is one of ours: its file may be written again."""
RANGE = re.compile(r"(?P<low>[-+.\de]+) to (?P<high>[-+.\de]+)(?P<log>, log)?.*")
"""How the identity of a sweep tells from where to where a number is drawn."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a sweep.")],
    out: Annotated[Path, typer.Option(help="The journal. One that this command has written before is written anew.")],
    runs_dir: RunsDir = RUNS,
) -> None:
    """Write a sweep as an Optuna study, for optuna-dashboard."""
    board, identity = board_of(runs_dir, name)
    try:
        if out.exists() and not is_ours(out):
            fail(WRONG_USAGE, f"--out {out}: there is a file that this command has not written; it is left as it is")
    except OSError as error:
        fail(FAILED, f"{error.filename}: {error.strerror}")
    write(out, journal(board, identity.get(RANGES, {})))


def is_ours(path: Path) -> bool:
    """Whether a file is a journal that this command has written. Raises OSError."""
    try:
        with path.open(encoding="utf-8") as file:
            first, second = (json.loads(line) for line, _ in zip(file, range(2), strict=False))
        return "study_name" in first and MARK in second["user_attr"]
    except (ValueError, TypeError, KeyError):
        return False


def journal(board: Leaderboard, ranges: Mapping[str, str]) -> bytes:
    """The content of a journal: operations of Optuna's, one a line. ranges: by parameter, in words, from where it is drawn."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="auxgraph-study-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        path = Path(scratch) / "journal"
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(study_name=board.sweep, storage=storage, direction=board.objective.direction)
        study.set_user_attr(MARK, True)
        study.set_metric_names([board.objective.metric])
        study.add_trials(frozen_trials(board, ranges))
        return path.read_bytes()


def frozen_trials(board: Leaderboard, ranges: Mapping[str, str]) -> list[FrozenTrial]:
    """The configurations, in order of position."""
    values: dict[str, list[Any]] = {}
    for one in board.ranked:
        for name, value in one.parameters.items():
            values.setdefault(name, []).append(value)
    distributions = {name: distribution(of, ranges.get(name, "")) for name, of in values.items()}
    ordered = sorted(board.ranked, key=lambda one: one.position)
    return [_trial(one, board.objective.metric, distributions) for one in ordered]


def distribution(values: Sequence[Any], words: str) -> BaseDistribution:
    """From where a parameter is drawn: its range, wide enough for all values that it had, or else those values."""
    if not all(is_number(value) for value in values) or (words and not (said := RANGE.fullmatch(words))):
        return CategoricalDistribution(list(dict.fromkeys(map(scalar, values))))
    ends = [float(said[end]) for end in ("low", "high")] if words and said else []
    low, high = min(*values, *ends, values[0]), max(*values, *ends, values[0])
    log = bool(words and said and said["log"]) and low > 0
    if all(isinstance(value, int) for value in values):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _trial(one: Ranked, metric: str, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    reached = {
        record.seed: record.metrics[metric]
        for record in one.records
        if record.outcome == "complete" and metric in record.metrics
    }
    state = _state(one, bool(reached))
    named = {name: scalar(value) for name, value in one.parameters.items()}
    trial = create_trial(
        state=state,
        value=sum(reached.values()) / len(reached) if state == TrialState.COMPLETE else None,
        params=named,
        distributions={name: distributions[name] for name in named},
        intermediate_values={
            epochs: fmean(values)
            for epochs in sorted({epochs for record in one.records for epochs in record.rungs})
            if (values := [record.rungs[epochs] for record in one.records if epochs in record.rungs])
        },
        user_attrs={
            "position": one.position,
            "row": one.label,
            "seeds": {str(seed): value for seed, value in reached.items()},
            "trials": {str(record.seed): record.trial for record in one.records},
            "outcomes": {str(record.seed): record.outcome for record in one.records},
            "reasons": {str(record.seed): record.reason for record in one.records if record.reason},
        },
    )
    ended = [datetime.fromisoformat(record.ended).astimezone().replace(tzinfo=None) for record in one.records if record.ended]
    if ended:
        trial.datetime_complete = max(ended) if state.is_finished() else None
        trial.datetime_start = min(ended) - timedelta(seconds=one.seconds[0] / len(one.records))
    return trial


def _state(one: Ranked, has_value: bool) -> TrialState:
    if not one.is_over:
        return TrialState.RUNNING
    if has_value:
        return TrialState.COMPLETE
    return TrialState.PRUNED if all(record.outcome == "pruned" for record in one.records) else TrialState.FAIL


if __name__ == "__main__":
    app()
