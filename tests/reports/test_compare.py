"""Two sweeps, or two values of a setting, paired by configuration and seed; worked out by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from typer.testing import CliRunner

from harness.ledger import FILE_NAME, Record, line_of
from reports.compare import app
from reports.compare_sheet import compare_sheet
from reports.pairs import Side, paired

Make = Callable[..., Record]
TOP1 = "test/top1"


@pytest.fixture
def make() -> Make:
    """A trial with so many epochs of finetuning: its test accuracy in percent; None: it failed."""

    def trial(epochs: int, seed: int, top1: float | None, **changes: Any) -> Record:
        values: dict[str, Any] = {
            "trial": f"{epochs}-{seed}-{top1}",
            "index": epochs,
            "row": None,
            "space": "mine",
            "preset": "demo",
            "parameters": {"finetune.epochs": epochs},
            "settings": {"finetune.epochs": epochs, "backbone.width": 8, **changes.pop("settings", {})},
            "data": {"downstream": {"dataset": "ucf101", "fingerprint": "a", "test": 104}},
            "seed": seed,
            "stages": {},
            "metrics": {} if top1 is None else {TOP1: top1 / 100},
            "seconds": {},
            "outcome": "failed" if top1 is None else "complete",
            "reason": "no" if top1 is None else None,
            "code": {"finetune": "0123 (commit a)"},
            "versions": {"protocol": "1", "torch": "2.13.0", "node": "here"},
            "command": "made up for a test",
        }
        return Record.model_validate({**values, **changes})

    return trial


@pytest.fixture
def sides(make: Make) -> tuple[Side, Side]:
    """2 epochs: 50, 52, 54 against 54, 56, 58 and a seed more; 4 epochs: 60, 61, 62 against 61, 60, 65; one alone each."""
    first = [
        *(make(2, seed, 50 + 2 * seed) for seed in range(3)),
        *(make(4, seed, 60 + seed) for seed in range(3)),
        make(6, 0, 1),
    ]
    wide = {"settings": {"backbone.width": 16}, "code": {"finetune": "0123 (commit b)"}}
    second = [make(2, seed, 54 + 2 * seed, **wide) for seed in range(4)]
    second += [make(4, seed, value, **wide) for seed, value in enumerate((61, 60, 65))]
    return Side("narrow", first), Side("wide", [*second, make(8, 0, 1), make(6, 0, None)])


def test_differences_are_paired_and_tests_corrected(sides: tuple[Side, Side]) -> None:
    """+4, +4, +4 by the sign test, p = 2^-2; +1, -1, +3 by t: mean 1, s = 2, t = 0.866; overall 2.5, 1.5, 3.5: t = 4.33."""
    found = paired(*sides, TOP1)
    one, other = found.pairs
    assert (one.first.mean, one.second.mean, one.difference.mean, one.difference.n) == pytest.approx((52, 56, 4, 3))
    assert one.test is not None and (one.test.kind, one.test.p) == ("sign", 0.25)
    assert other.difference.mean == pytest.approx(1)
    assert other.test is not None and other.test.p == pytest.approx(2 * stats.t.sf(0.5 * 3**0.5, 2))
    assert (one.corrected, other.corrected) == pytest.approx((0.5, 0.5)), "none is below one that is smaller"
    assert found.overall is not None and found.overall.difference.mean == pytest.approx(2.5)
    assert found.overall.test is not None and found.overall.test.p == pytest.approx(2 * stats.t.sf(2.5 * 3**0.5, 2))
    assert found.alone == (1, 1), "a configuration that failed on one side has no counterpart"
    assert found.differing == ("backbone.width: 8 and 16 (in 2 of 2 pairs)",), "the same code of another commit is the same"


def test_numbers_of_other_videos_or_protocols_are_not_compared(make: Make) -> None:
    first = Side("a", [make(epochs, 0, 50) for epochs in (1, 2, 3)])
    other = {"downstream": {"dataset": "ucf101", "fingerprint": "b", "test": 90}}
    second = [make(1, 0, 60, data=other), make(2, 0, 60, versions={"protocol": "2"}), make(3, 0, 60, preset="small")]
    found = paired(first, Side("b", second), TOP1)
    assert [one.why for one in found.refused] == [
        "downstream is ucf101 (104 test videos) on one side, ucf101 (90 test videos) of other content on the other",
        "evaluated by protocol versions 1 and 2",
    ]
    (one,) = found.pairs
    assert one.parameters == {"finetune.epochs": 3} and found.differing == ("preset: demo and small (in 1 of 1 pairs)",)
    assert one.test is None and one.corrected is None and found.overall is None
    (section,) = compare_sheet(found).sections
    assert section.heading == "One seed on both sides: differences may be chance alone"
    assert section.grids[0].rows == (("epochs = 3", "50.0", "60.0", "+10.0", "-", "1", "one seed", "-"),)


def test_what_differs_by_code_data_and_versions_is_named(make: Make) -> None:
    data = {"pretraining": {"fingerprint": "x"}, "downstream": {"dataset": "ucf101", "fingerprint": "a", "test": 104}}
    changes = {"code": {"finetune": "9999 (edited)"}, "versions": {"protocol": "1", "torch": "2.14.0", "node": "there"}}
    found = paired(Side("a", [make(1, 0, 50)]), Side("b", [make(1, 0, 50, data=data, **changes)]), TOP1)
    assert [line.removesuffix(" (in 1 of 1 pairs)") for line in found.differing] == [
        "code of stage finetune",
        "data of pretraining",
        "torch: 2.13.0 and 2.14.0",
    ]


# the command


@pytest.fixture
def runs(tmp_path: Path, sides: tuple[Side, Side]) -> Path:
    for side in sides:
        path = tmp_path / "runs" / side.name / FILE_NAME
        path.parent.mkdir(parents=True)
        path.write_bytes(b"".join(map(line_of, side.records)))
    return tmp_path / "runs"


def compare(*arguments: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr


def test_two_sweeps(runs: Path) -> None:
    code, printed, _ = compare("narrow", "wide", "--runs-dir", runs)
    assert code == 0
    assert "# wide against narrow" in printed and "## wide is higher: p = 0.049" in printed
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("| ")]
    assert rows[2][:4] == ["epochs = 2", "52.0 [47.0, 57.0]", "56.0 [51.0, 61.0]", "+4.0 [+4.0, +4.0]"]
    assert rows[2][4:] == ["1.00 [0.29, 1.00]", "3", "no, p = 0.500", "-"]
    assert rows[3][3:7] == ["+1.0 [-4.0, +6.0]", "0.67 [0.09, 0.99]", "3", "no, p = 0.500"]
    assert rows[4][0] == "all pairs"
    lines = list(csv.DictReader(io.StringIO(compare("narrow", "wide", "--runs-dir", runs, "--format", "csv")[1])))
    assert [(line["configuration"], line["difference_mean"], line["p_holm"]) for line in lines] == [
        ("epochs = 2", "4.0000", "0.500000"),
        ("epochs = 4", "1.0000", "0.500000"),
        ("all pairs", "2.5000", ""),
    ]


def test_two_values_of_a_setting(runs: Path) -> None:
    code, printed, _ = compare("narrow", "--setting", "finetune.epochs=2,4", "--runs-dir", runs)
    assert code == 0
    assert "# finetune.epochs=4 against finetune.epochs=2" in printed
    assert "differs within pairs: finetune.epochs: 2 and 4 (in 1 of 1 pairs)" in printed
    assert "+9.0 [+6.5, +11.5]" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["narrow"], "two sweeps go with this, not 1"),
        (["narrow", "wide", "--setting", "a=1,2"], "one sweep goes with this, not 2"),
        (["narrow", "wid"], "did you mean 'wide'?"),
        (["narrow", "wide", "--metric", "test/top5"], "no trial has --metric test/top5; did you mean 'test/top1'?"),
        (["narrow", "--setting", "finetune.epoch=2,4"], "did you mean 'finetune.epochs'?"),
        (["narrow", "--setting", "finetune.epochs=2,5"], "finetune.epochs has 2, 4, 6"),
        (["narrow", "wide", "--out", "a.pdf"], "one of md, tex, csv, html, json"),
    ],
)
def test_wrong_usage_exits_2(runs: Path, arguments: list[str], says: str) -> None:
    code, _, message = compare(*arguments, "--runs-dir", runs)
    assert code == 2 and says in message


@pytest.mark.parametrize("file_format", ["md", "csv"])
def test_sample_ledgers_give_the_golden_file(samples: Path, golden: Path, file_format: str) -> None:
    """Written by `python reports/compare.py sample-demo sample-short --runs-dir tests/reports/data --out FILE`."""
    arguments = ["sample-demo", "sample-short", "--runs-dir", str(samples), "--format", file_format]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output == (golden / f"sample-demo_sample-short.{file_format}").read_text(encoding="utf-8")
