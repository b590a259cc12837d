"""What backbones are worth: numbers worked out by hand, what is never mixed, and the command `python reports/backbones.py`."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness.ledger import Ledger, Record
from reports.backbones import app
from reports.power import Sensitivity
from reports.sheet import Grid
from reports.worth import Worth, sweep_worth
from reports.worth_sheet import worth_sheets
from reports.writers import FORMATS, show

ROOT = Path(__file__).parents[2]
Make = Callable[..., Record]
runner = CliRunner()

VSPP = {"recipe": "pretext"}
SCRATCH = {"recipe": "scratch"}
SPEED, SEGMENT = "pretext/val_speed_accuracy", "pretext/val_segment_accuracy"
CHANCE = "pretext/val_{}_chance"


def described(name: str, **changes: Any) -> dict[str, Any]:
    counts = {"classes": 8, "train": 160, "validation": 64, "test": 80, "missing": 0, "skipped": {}}
    return {"dataset": name, "fingerprint": f"of {name}", **counts, **changes}


@pytest.fixture
def make() -> Make:
    """A complete trial, given its parameters, seed and metrics; `settings` adds to what is there, other fields are replaced."""

    def make(parameters: dict[str, Any], seed: int, metrics: dict[str, float], **changes: Any) -> Record:
        settings = {
            "recipe": "auxskd_pretext",
            "pretext.task": "vspp",
            "pretext.epochs": 10,
            "pretext.checkpoints": 4,
            "pretext.checkpoint": None,
            "backbone.family": "r2plus1d",
            "data.pretraining": "embedded",
            "data.downstream": "embedded",
            **changes.pop("settings", {}),
            **parameters,
        }
        values: dict[str, Any] = {
            "trial": f"{sorted(parameters.items())} {seed} {sorted(changes.items())} {sorted(settings.items(), key=str)}",
            "index": 0,
            "row": None,
            "space": "recipes",
            "preset": "demo",
            "parameters": parameters,
            "settings": settings,
            "data": {"pretraining": described("embedded"), "downstream": described("embedded")},
            "seed": seed,
            "stages": {},
            "metrics": metrics,
            "seconds": {},
            "outcome": "complete",
            "reason": None,
            "versions": {"protocol": "1"},
            "command": "made up for a test",
        }
        return Record.model_validate({**values, **changes})

    return make


def frozen(value: float) -> dict[str, float]:
    """Metrics of a trial, fractions: top-1, less by 0.1 for the probe, and R@k from there on in steps of 0.05."""
    recalls = {f"test/retrieval_r{k}": value - 0.1 + 0.05 * step for step, k in enumerate((1, 5, 10, 20, 50))}
    return {"test/top1": value, "test/linear_probe_top1": value - 0.1, **recalls}


def pretrained(value: float, speed: float, segment: float) -> dict[str, float]:
    """With the two accuracies of four classes each."""
    return {**frozen(value), SPEED: speed, SEGMENT: segment, CHANCE.format("speed"): 0.25, CHANCE.format("segment"): 0.25}


@pytest.fixture
def sweep(make: Make) -> list[Record]:
    """Random initialisation and VSPP with three seeds, of which one of the latter failed; a proposal with one."""
    scratch = [make(SCRATCH, seed, frozen(value), index=0, row="random") for seed, value in enumerate((0.4, 0.5, 0.6))]
    vspp = [make(VSPP, seed, pretrained(0.7, 0.5, 0.45), index=1, row="VSPP") for seed in (0, 1)]
    failed = make(VSPP, 2, {SPEED: 0.9}, index=1, row="VSPP", outcome="failed", reason="loss is not finite")
    proposed = make({"recipe": "auxskd_pretext"}, 0, pretrained(0.75, 0.25, 0.3), index=2)
    return [proposed, failed, *vspp, *scratch]


def cells(grid: Grid) -> list[tuple[str, ...]]:
    return [grid.columns, *grid.rows]


def grids(worths: list[Worth]) -> list[tuple[Grid, ...]]:
    (page,) = worth_sheets({"a": worths})
    return [section.grids for section in page.sections]


def headings(worths: list[Worth]) -> list[str]:
    (page,) = worth_sheets({"a": worths})
    return [section.heading for section in page.sections]


def test_configurations_in_the_sweeps_order_with_means_intervals_and_seeds_worked_out_by_hand(sweep: list[Record]) -> None:
    ((accuracies, retrieval),) = grids(sweep_worth(sweep))
    assert cells(accuracies) == [
        ("configuration", "seeds", "segment accuracy (chance 25.0)", "speed accuracy (chance 25.0)",
         "finetuned top-1", "linear probe top-1"),
        ("random", "3", "-", "-", "50.0 [25.2, 74.8]", "40.0 [15.2, 64.8]"),
        ("VSPP", "2/3", "45.0 [45.0 to 45.0]", "50.0 [50.0 to 50.0]", "70.0 [70.0 to 70.0]", "60.0 [60.0 to 60.0]"),
        ("recipe = auxskd_pretext", "1/3", "30.0", "25.0", "75.0", "65.0"),
    ]  # fmt: skip
    assert cells(retrieval) == [
        ("configuration", "seeds", "R@1", "R@5", "R@10", "R@20", "R@50"),
        ("random", "3", *(f"{value}.0 [{value - 24.8:.1f}, {value + 24.8:.1f}]" for value in (40, 45, 50, 55, 60))),
        ("VSPP", "2/3", *(f"{value}.0 [{value}.0 to {value}.0]" for value in (60, 65, 70, 75, 80))),
        ("recipe = auxskd_pretext", "1/3", "65.0", "70.0", "75.0", "80.0", "85.0"),
    ]  # fmt: skip


def test_a_grid_says_which_differences_from_the_best_row_cannot_be_seen(make: Make) -> None:
    """Differences 10, 12, 14 of the best of two: spread 2."""
    top1 = {"pretext": (0.70, 0.72, 0.74), "scratch": (0.60, 0.60, 0.60)}
    records = [
        make({"recipe": recipe}, seed, {"test/top1": value}) for recipe, of in top1.items() for seed, value in enumerate(of)
    ]
    ((accuracies, retrieval),) = grids(sweep_worth(records))
    points = Sensitivity(None, 3, 2.0).detectable
    assert (
        f"and 3 seeds differences from the best row under {points:.1f} (finetuned top-1) points cannot be seen."
        in accuracies.note
    )
    assert retrieval.note == ""


def test_what_was_not_measured_is_missing(make: Make) -> None:
    ((accuracies, retrieval),) = grids(sweep_worth([make(SCRATCH, 0, {"test/top1": 0.5})]))
    assert cells(accuracies)[1] == ("recipe = scratch", "1", "50.0", "-")
    assert cells(retrieval)[1] == ("recipe = scratch", "1", "-", "-", "-", "-", "-")


def test_number_of_fewer_seeds_than_are_complete_says_of_how_many(make: Make) -> None:
    both = [make(VSPP, 0, {"test/top1": 0.5, "test/linear_probe_top1": 0.4}), make(VSPP, 1, {"test/top1": 0.5})]
    ((accuracies, _),) = grids(sweep_worth(both))
    assert accuracies.rows == (("recipe = pretext", "2", "50.0 [50.0 to 50.0]", "40.0 (1)"),)


@pytest.mark.parametrize(
    "other",
    [
        {"preset": "small"},
        {"settings": {"protocol": "published"}},
        {"versions": {"protocol": "2"}},
        {"settings": {"finetune.epochs": 3}},
        {"data": {"pretraining": described("embedded"), "downstream": described("embedded", fingerprint="of another")}},
        {"data": {"pretraining": described("embedded", fingerprint="of another"), "downstream": described("embedded")}},
    ],
    ids=["preset", "protocol", "version", "setting", "downstream data", "pretraining data"],
)
def test_trials_of_other_circumstances_are_never_seeds_of_one_number(make: Make, other: dict[str, Any]) -> None:
    worths = sweep_worth([make(VSPP, 0, frozen(0.5)), make(VSPP, 1, frozen(0.6), **other)])
    found = [accuracies.rows for accuracies, _ in grids(worths)]
    assert sorted(row[2] for rows in found for row in rows) == ["50.0", "60.0"]
    assert len(found) == 2
    assert [heading.partition(":")[0] for heading in headings(worths)] == [
        "Downstream set embedded clips, group 1 of 2", "Downstream set embedded clips, group 2 of 2",
    ]  # fmt: skip


def test_each_of_several_downstream_sets_has_its_own_numbers(make: Make) -> None:
    metrics = {SPEED: 0.5, "test/top1": 0.4, "test/top1/hmdb51": 0.3, "test/top1/ucf101": 0.5, "test/retrieval_r5/ucf101": 0.6}
    data = {
        "pretraining": described("embedded", fingerprint="of six"),
        "downstream/hmdb51": described("embedded"),
        "downstream/ucf101": described("ucf101"),
    }
    sets = {"data.pretraining": "kinetics100", "data.downstream": "hmdb51+ucf101"}
    worths = sweep_worth([make(VSPP, 0, metrics, settings=sets, data=data)])
    assert headings(worths) == [
        "Downstream set hmdb51: preset demo, like-for-like protocol, on embedded clips in place of hmdb51 and kinetics100",
        "Downstream set ucf101: preset demo, like-for-like protocol, on ucf101 and embedded clips in place of kinetics100",
    ]
    (hmdb51, no_recalls), (ucf101, recalls) = grids(worths)
    assert hmdb51.rows == (("recipe = pretext", "1", "50.0", "30.0", "-"),)
    assert ucf101.rows == (("recipe = pretext", "1", "50.0", "50.0", "-"),)
    assert no_recalls.rows[0][2:] == ("-", "-", "-", "-", "-")
    assert recalls.rows[0][2:] == ("-", "60.0", "-", "-", "-")


def test_configurations_on_different_sets_stand_in_the_sections_of_their_sets(make: Make) -> None:
    def trial(name: str, value: float) -> Record:
        data = {"pretraining": described("embedded"), "downstream": described(name)}
        return make({**VSPP, "data.downstream": name}, 0, frozen(value), row=f"VSPP -> {name}", data=data)

    (hmdb51, _), (ucf101, _) = grids(sweep_worth([trial("ucf101", 0.5), trial("hmdb51", 0.3)]))
    assert [row[:3] for row in hmdb51.rows] == [("VSPP -> hmdb51", "1", "30.0")]
    assert [row[:3] for row in ucf101.rows] == [("VSPP -> ucf101", "1", "50.0")]


@pytest.mark.parametrize(("checkpoint", "expected"), [(1, "30.0"), (2, "50.0"), (3, "80.0"), (4, "95.0"), (None, "95.0")])
def test_pretext_accuracy_is_that_of_the_checkpoint_handed_on(make: Make, checkpoint: int | None, expected: str) -> None:
    """Of 10 epochs, 4 checkpoints are taken after epochs 3, 5, 8 and 10."""
    history = {SPEED: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]}
    ((accuracies, _),) = grids(
        sweep_worth([make({"pretext.checkpoint": checkpoint}, 0, {SPEED: 0.95, "test/top1": 0.5}, history=history)])
    )
    assert accuracies.rows[0][2] == expected


def test_pretext_accuracy_of_an_earlier_checkpoint_is_missing_without_a_history(make: Make) -> None:
    early, last = ({"pretext.checkpoint": number} for number in (1, 4))
    metrics = {SPEED: 0.95, "test/top1": 0.5}
    ((accuracies, _),) = grids(sweep_worth([make(early, 0, metrics), make(last, 0, metrics, index=1)]))
    assert [row[2] for row in accuracies.rows] == ["-", "95.0"]


def test_chance_levels_that_differ_stand_in_a_column_and_tasks_that_published_none_have_none(make: Make) -> None:
    def trial(index: int, row: str, task: str, metrics: dict[str, float]) -> Record:
        return make({"pretext.task": task}, 0, metrics, index=index, row=row)

    tasks = [
        trial(0, "Q = 5", "vspp", {SPEED: 0.5, CHANCE.format("speed"): 0.2}),
        trial(1, "RSPNet", "rspnet", {SPEED: 0.9, CHANCE.format("speed"): 0.5, "pretext/val_appearance_accuracy": 0.2}),
        trial(2, "VCOP", "vcop", {"pretext/val_order_accuracy": 0.3, CHANCE.format("order"): 1 / 6}),
    ]
    ((accuracies, _),) = grids(sweep_worth(tasks))
    assert [row[:6] for row in cells(accuracies)] == [
        ("configuration", "seeds", "appearance accuracy", "order accuracy (chance 16.7)", "speed accuracy", "speed chance"),
        ("Q = 5", "1", "-", "-", "50.0", "20.0"),
        ("RSPNet", "1", "20.0", "-", "90.0", "50.0"),
        ("VCOP", "1", "-", "30.0", "-", "-"),
    ]


def of_table4(make: Make, segments: int, seed: int, value: float, **changes: Any) -> Record:
    """A trial of a row of auxskd/table4 with both sub-tasks and four speeds; the table has rows for 2, 3 and 4 segments."""
    subtasks = {"vspp.speed_weight": 1.0, "vspp.segment_weight": 1.0, "vspp.speeds": 4, "vspp.segments": segments}
    return make({**VSPP, **subtasks}, seed, frozen(value), **{"space": "auxskd/table4", **changes})


def test_sweep_of_a_table_has_its_columns_and_order_and_what_another_sweep_had_run(make: Make) -> None:
    own = [of_table4(make, 3, 0, 0.5, index=7), of_table4(make, 2, 0, 0.4, index=9)]
    ((accuracies, _),) = grids(sweep_worth(own, [of_table4(make, 4, 0, 0.6, space="auxskd/table2")]))
    assert [row[:6] for row in cells(accuracies)] == [
        ("predict speed", "predict segment", "speeds Q", "segments Z", "seeds", "finetuned top-1"),
        ("yes", "yes", "4", "2", "1", "40.0"),
        ("yes", "yes", "4", "3", "1", "50.0"),
        ("yes", "yes", "4", "4", "1", "60.0"),
    ]


@pytest.mark.parametrize(
    ("segments", "seed", "changes"),
    [
        (7, 0, {}),
        (4, 1, {}),
        (4, 0, {"preset": "small"}),
        (4, 0, {"outcome": "failed"}),
        (4, 0, {"settings": {"finetune.epochs": 3}}),
        (4, 0, {"data": {"pretraining": described("embedded", fingerprint="of another"), "downstream": described("embedded")}}),
    ],
    ids=["no row", "seed not asked for", "preset", "failed", "setting", "data"],
)
def test_other_trials_of_other_sweeps_are_left_out(make: Make, segments: int, seed: int, changes: dict[str, Any]) -> None:
    worths = sweep_worth([of_table4(make, 2, 0, 0.4)], [of_table4(make, segments, seed, 0.6, **changes)])
    ((accuracies, _),) = grids(worths)
    assert [row[3:6] for row in accuracies.rows] == [("2", "1", "40.0")]


def test_sweep_of_a_space_has_its_own_trials_only(make: Make) -> None:
    own, other = (of_table4(make, segments, 0, 0.5, space="segments") for segments in (4, 5))
    ((accuracies, _),) = grids(sweep_worth([own], [other]))
    assert len(accuracies.rows) == 1


def test_trial_that_two_sweeps_recorded_counts_once(make: Make) -> None:
    own = of_table4(make, 4, 0, 0.5)
    ((accuracies, _),) = grids(sweep_worth([own], [own.model_copy(update={"space": "segments"})]))
    assert [row[4:6] for row in accuracies.rows] == [("1", "50.0")]


@pytest.fixture
def runs(sweep: list[Record], make: Make, tmp_path: Path) -> Path:
    """Sweeps `first` and `second`, the latter of one trial."""
    directory = tmp_path / "runs"
    for name, records in {"first": sweep, "second": [make(VSPP, 0, frozen(0.33), row="alone")]}.items():
        (directory / name).mkdir(parents=True)
        ledger = Ledger(directory / name)
        for record in records:
            ledger.append(record)
    return directory


def backbones(*arguments: object) -> tuple[int, str, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_script_runs_from_anywhere_and_prints_every_sweep_twice_the_same(runs: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "reports" / "backbones.py"), "--runs-dir", str(runs)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    titles = [line for line in result.stdout.splitlines() if line.startswith("# ")]
    assert titles == ["# What the backbones of first are worth", "# What the backbones of second are worth"]
    assert "Space recipes: 6 of 7 trials complete" in result.stdout
    assert backbones("--runs-dir", runs) == (0, result.stdout, "")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["ledger.jsonl"] * 2


def test_one_sweep_only_and_unknown_ones_exit_2_with_the_valid_ones(runs: Path) -> None:
    code, printed, _ = backbones("--runs-dir", runs, "--sweep", "second")
    assert code == 0
    assert "alone" in printed and "VSPP" not in printed
    code, _, message = backbones("--runs-dir", runs, "--sweep", "third")
    assert code == 2
    assert "valid sweeps: first, second" in message


@pytest.mark.parametrize("name", FORMATS)
def test_file_holds_what_is_printed_in_the_format_of_its_name(runs: Path, tmp_path: Path, name: str) -> None:
    code, printed, _ = backbones("--runs-dir", runs, "--out", tmp_path / f"b.{name}")
    assert (code, printed) == (0, f"{tmp_path / f'b.{name}'}\n")
    text = (tmp_path / f"b.{name}").read_bytes().decode()
    assert text == backbones("--runs-dir", runs, "--format", name)[1]
    numbers = ("60.0 [35.2, 84.8]", "{[}35.2, 84.8{]}", "60.0000,35.1586,84.8414", '"high": "84.8414"')
    assert "random" in text and any(number in text for number in numbers)


def test_latex_labels_differ(runs: Path) -> None:
    labels = re.findall(r"\\label\{(.*)\}", backbones("--runs-dir", runs, "--format", "tex")[1])
    assert labels == [f"tab:backbones-{sweep}-1{place}" for sweep in ("first", "second") for place in ("", "-2")]


def test_csv_has_a_line_per_configuration_and_measure(runs: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(backbones("--runs-dir", runs, "--format", "csv")[1])))
    assert len(lines) == 3 * 9 + 7
    found = {(line["sweep"], line["configuration"], line["measure"]): line for line in lines}
    speed = found["first", "VSPP", "speed"]
    assert [speed[name] for name in ("mean", "low", "high", "seeds", "seeds_asked", "chance")] == [
        "50.0000", "50.0000", "50.0000", "2", "3", "25.0000",
    ]  # fmt: skip
    assert (speed["preset"], speed["protocol"], speed["data"]) == ("demo", "like_for_like", "embedded=embedded:of embedded")
    missing = found["first", "random", "segment"]
    assert [missing[name] for name in ("mean", "seeds", "chance")] == ["", "0", ""]
    assert found["second", "alone", "R@50"]["mean"] == "43.0000"


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (140, ["random 3 - - 50.0 [25.2, 74.8] 40.0 [15.2, 64.8]"]),
        (100, ["random 3 - - 50.0 40.0", "[25.2, 74.8] [15.2, 64.8]"]),
    ],
)
def test_terminal_shows_intervals_below_their_means_where_rows_would_not_fit(
    sweep: list[Record], width: int, expected: list[str]
) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    show(worth_sheets({"a": sweep_worth(sweep)}), console)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines() if len(line) <= width]
    first = lines.index(expected[0])
    assert lines[first : first + len(expected)] == expected


def test_no_ledger_says_that_there_are_no_trials(tmp_path: Path) -> None:
    code, printed, _ = backbones("--runs-dir", tmp_path)
    assert code == 0
    assert "No trials recorded" in printed


def test_record_whose_data_is_not_described_exits_1_naming_the_trial(make: Make, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Ledger(tmp_path / "a").append(make(VSPP, 0, frozen(0.5), trial="t7", data={"downstream": {"dataset": "ucf101"}}))
    code, _, message = backbones("--runs-dir", tmp_path)
    assert code == 1
    assert message.startswith("trial t7: its data lacks what docs/ledger.md says (fingerprint: Field required)")


def test_sample_ledger_gives_the_golden_file(searched: Path, golden: Path) -> None:
    """Written by `python reports/backbones.py --runs-dir tests/reports/search --out FILE`."""
    result = runner.invoke(app, ["--runs-dir", str(searched), "--format", "md"])
    assert result.exit_code == 0, result.output
    assert result.output == (golden / "sample-search_backbones.md").read_text(encoding="utf-8")
