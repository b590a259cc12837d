"""Networks that trials have trained: found by trial, by the best configuration of a sweep, or by an artifact's key.

7d0c1f5be2                  the network that the trial ends with; how its identity begins will do
7d0c1f/pretext              of one of its stages
best-of:temperatures-demo   the best trial of the configuration that is first on the sweep's leaderboard: by the mean of its
                            objective over seeds; where it was confirmed, over those that the search has not seen
finetune/0123456789abcdef   an artifact of the store, or how its key begins
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.identity import OBJECTIVE, read_identity
from harness.ledger import FILE_NAME, Record, read_records
from trainables.model_card import IMPORTED, is_of_teacher
from trainables.settings import BACKBONES
from trainables.store import Artifact, artifacts
from trainables.suggestions import did_you_mean

BEST_OF = "best-of:"
REPORT = Path(__file__).resolve().parents[1] / "reports" / "sweep.py"
"""Says what is best."""
MOST_NAMED = 5
OF_BACKBONE, OF_STUDENT = ("finetune", IMPORTED, "pretext", "auxskd", "imported"), ("student",)
NETWORKS = (*OF_BACKBONE, *OF_STUDENT)
"""Stages with a network, in the order in which one is a trial's last."""


class NotTrained(ValueError):
    """There is no such trial, sweep or artifact, or none with a network; the message says what there is."""


def trials_named(trial: str, runs_dir: Path) -> list[tuple[Path, Record]]:
    """The last records of a trial in every sweep, with the sweep's directory. trial: its identity, or how that begins.

    Raises NotTrained where there is none, or more than one trial begins so; LedgerError or OSError.
    """
    found: dict[str, list[tuple[Path, Record]]] = {}
    for path in sorted(runs_dir.glob(f"*/{FILE_NAME}")):
        for record in {record.trial: record for record in read_records(path)}.values():
            found.setdefault(record.trial, []).append((path.parent, record))
    alike = _called(trial, found)
    if not alike:
        raise NotTrained(f"no trial '{trial}' is on record below {runs_dir}{did_you_mean(trial, found)}")
    if len(alike) > 1:
        raise NotTrained(f"{len(alike)} trials begin with '{trial}': {_some(alike)}")
    return found[alike[0]]


def _called(trial: str, among: Iterable[str]) -> list[str]:
    """The trial of a name, or all that begin so."""
    names = sorted(among)
    return [trial] if trial in names else [name for name in names if trial and name.startswith(trial)]


def _trials_called(trial: str, runs_dir: Path) -> list[str]:
    return _called(trial, {record.trial for path in runs_dir.glob(f"*/{FILE_NAME}") for record in read_records(path)})


def trained_trial(named: str, runs_dir: Path) -> tuple[Path, Record]:
    """The complete record that a trial or `best-of:SWEEP` names, and the directory of its sweep. Raises as `trials_named`."""
    if named.startswith(BEST_OF):
        return _best_of(named.removeprefix(BEST_OF), runs_dir)
    records = trials_named(named, runs_dir)
    complete = [pair for pair in records if pair[1].outcome == "complete"]
    if not complete:
        sweep, record = records[-1]
        raise NotTrained(f"trial {record.trial} of sweep '{sweep.name}' is {record.outcome} ({record.reason})")
    return max(complete, key=lambda pair: pair[1].ended or "")


def _best_of(sweep: str, runs_dir: Path) -> tuple[Path, Record]:
    """As the leaderboard says."""
    directory = runs_dir / sweep
    if not sweep or not (directory / FILE_NAME).is_file():
        sweeps = sorted(path.parent.name for path in runs_dir.glob(f"*/{FILE_NAME}"))
        raise NotTrained(
            f"no sweep '{sweep}' below {runs_dir}{did_you_mean(sweep, sweeps)}; there are: {_some(sweeps) or 'none'}"
        )
    last = {record.trial: record for record in read_records(directory / FILE_NAME)}
    command = [sys.executable, str(REPORT), sweep, "--runs-dir", str(runs_dir), "--best"]
    answer = subprocess.run(command, capture_output=True, check=False, text=True)
    if answer.returncode:
        raise NotTrained(f"which trial of sweep '{sweep}' is best cannot be told: {answer.stderr.strip()}")
    if (trial := json.loads(answer.stdout)) is None:
        raise NotTrained(f"no trial of sweep '{sweep}' is complete with {read_identity(directory).get(OBJECTIVE, 'a metric')}")
    return directory, last[trial]


def stage_of(record: Record, stage: str | None = None, network: str | None = None) -> str:
    """The stage of a trial whose network is meant: the one that is named, or the last with a network, of this one's kind.

    Raises NotTrained.
    """
    trained = [name for name in record.stages if kind_of(name) in NETWORKS or is_of_teacher(kind_of(name))]
    if stage is not None:
        if stage not in record.stages:
            near = did_you_mean(stage, record.stages)
            raise NotTrained(f"trial {record.trial} has no stage '{stage}'{near}; with a network: {_some(trained)}")
        return stage
    kinds = (
        NETWORKS
        if network is None
        else OF_BACKBONE
        if network in BACKBONES.entries
        else OF_STUDENT
        if network == "alexnet"
        else ()
    )
    for kind in kinds:
        alike = [name for name in trained if kind_of(name) == kind]
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise NotTrained(f"trial {record.trial} has several networks; name one: {record.trial}/{alike[0]}")
    of = "a network" if network is None else f"a network {network}"
    teachers = [f"{record.trial}/{name}" for name in trained if is_of_teacher(kind_of(name))]
    also = f"; of its teachers: {_some(teachers)}" if teachers else ""
    raise NotTrained(f"trial {record.trial} has no stage that leaves {of}{also}; its stages: {', '.join(record.stages)}")


def kind_of(stage: str) -> str:
    """The kind of a stage, whose name may say of which data set it is."""
    return stage.partition("/")[0]


def artifact_at(store: Path, stage: str, key: str) -> Artifact:
    """The artifact of a trial's stage. Raises NotTrained, DamagedArtifact or StoreError."""
    artifact = Artifact(store / kind_of(stage) / key)
    if not artifact.directory.is_dir():
        raise NotTrained(f"the artifact of stage {stage} is not in the store {store}: {kind_of(stage)}/{key}")
    artifact.check_sizes()
    return artifact


def artifact_of(named: str, network: str, runs_dir: Path, store: Path) -> Artifact:
    """The artifact with the weights that a trial, `best-of:SWEEP` or a key names; see above.

    Raises NotTrained, LedgerError, DamagedArtifact, StoreError or OSError.
    """
    by_key = [one for kind, one in artifacts(store) if f"{kind}/{one.key}".startswith(named) or one.key.startswith(named)]
    if len(by_key) == 1 and not named.startswith(BEST_OF):
        if trials := _trials_called(named, runs_dir):
            raise NotTrained(
                f"'{named}' is how artifact {by_key[0].kind}/{by_key[0].key} begins, and trial {trials[0]}: say "
                f"{by_key[0].kind}/{by_key[0].key} or {trials[0]}/STAGE"
            )
        by_key[0].check_sizes()
        return by_key[0]
    if len(by_key) > 1:
        raise NotTrained(f"{len(by_key)} artifacts are called so: {_some([f'{one.kind}/{one.key}' for one in by_key])}")
    trial, stage = parts_of(named)
    try:
        _, record = trained_trial(trial, runs_dir)
    except NotTrained as error:
        raise NotTrained(f"there is no file {named}, no such artifact in {store}, and {error}") from None
    found = stage_of(record, stage, network)
    return artifact_at(store, found, record.stages[found])


def parts_of(named: str) -> tuple[str, str | None]:
    """`TRIAL/STAGE` as both; without a stage the trial alone."""
    trial, _, stage = named.partition("/")
    return trial, stage or None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
