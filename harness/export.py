"""A trained network on its own: weights, a program and a loader that need torch alone, and a description for people.

    python harness/export.py 7d0c1f5be2 OUT
    python harness/export.py best-of:temperatures-demo OUT
    python harness/export.py 7d0c1f/pretext OUT          # of one of its stages: features, no classes

Back in by `--weights NETWORK=OUT`. Writes OUT, a new directory, whole or not at all. Exit code 2: there is no such network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from harness import options
from harness.invocation import Invocation, check_directory, console, told
from harness.ledger import EVALUATIONS, Record
from harness.request import RequestError

UNKNOWN = "unknown"

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


@app.command(cls=Invocation)
def main(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL|best-of:SWEEP", help="which network; TRIAL/STAGE: of one of its stages")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the directory to write")],
    runs_dir: options.RunsDir = Path("runs"),
    store: options.Store = None,
) -> None:
    """Write the network of a trial as files that others use without this program."""
    for option, directory in (("--runs-dir", runs_dir), ("--store", store)):
        check_directory(option, directory)

    from harness.trained import NotTrained
    from trainables.exported import ExportError, write_model
    from trainables.store import StoreError

    try:
        with told("exporting"):
            about = write_model(_model(trial, runs_dir, store or runs_dir / "store"), out)
    except (NotTrained, ExportError, StoreError) as error:
        raise RequestError(str(error)) from None
    what = f"{len(about['classes'])} classes" if about["classes"] else "features"
    of = f"stage {about['trial']['stage']} of trial {about['trial']['trial']} of sweep {about['trial']['sweep']}"
    console.print(f"{out}: {about['network']}, {what}, {of}", highlight=False, markup=False, soft_wrap=True)


def _model(named: str, runs_dir: Path, store: Path) -> Any:
    """Raises NotTrained, ExportError, SettingsError, StoreError or LedgerError."""
    from harness.again import experiment_of
    from harness.trained import artifact_at, parts_of, stage_of, trained_trial
    from trainables.exported import model_of, network_of

    trial, stage_asked = (named, None) if named.startswith("best-of:") else parts_of(named)
    directory, record = trained_trial(trial, runs_dir)
    stage = stage_of(record, stage_asked)
    network_of(stage)
    artifact = artifact_at(store, stage, record.stages[stage])
    about = {
        "trial": {
            "trial": record.trial,
            "sweep": directory.name,
            "stage": stage,
            "key": artifact.key,
            "preset": record.preset,
            "seed": record.seed,
            "ended": record.ended,
        },
        "metrics": record.metrics,
        "data": record.data,
        "licence_of_data": UNKNOWN,
        "versions": {name: version for name, version in record.versions.items() if name != "node"},
    }
    return model_of(stage, artifact.tensors(), experiment_of(record).settings, _classes(record, stage, store), about)


def _classes(record: Record, stage: str, store: Path) -> list[str] | None:
    """The classes that the evaluation of a classifier told apart; None for a network without a last layer."""
    from harness.trained import NotTrained, artifact_at, kind_of
    from trainables.stages.answers import FILE

    if kind_of(stage) in ("pretext", "auxskd", "imported"):
        return None
    suffix = stage.removeprefix(kind_of(stage))
    for name, key in record.stages.items():
        if kind_of(name) in EVALUATIONS and name.removeprefix(kind_of(name)) == suffix:
            classes: list[str] = artifact_at(store, name, key).document(FILE)["classes"]
            return classes
    raise NotTrained(f"trial {record.trial} has no evaluation of stage {stage}, which would say what its classes are")


if __name__ == "__main__":
    app()
