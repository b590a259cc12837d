"""What seeds can see before they are run: by differences worked out by hand, on record or not, and the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.ledger import Ledger, Record
from reports.power import sensitivity
from reports.resolution import app, paper_effects, resolution
from search_spaces.papers import DOWNSTREAM, paper_tables

Make = Callable[..., Record]
runner = CliRunner()
FIRST, SECOND, OTHER = (50.0, 60.0, 55.0), (51.0, 65.0, 53.0), (40.0, 42.0, 41.0)


@pytest.fixture
def sweep(make_trial: Make) -> list[Record]:
    """Two configurations of three seeds on a data set, and one on another."""
    found = []
    for index, (values, name) in enumerate(((FIRST, "ucf101"), (SECOND, "ucf101"), (OTHER, "hmdb51"))):
        for seed, value in enumerate(values):
            made = make_trial(0.02, 0.02, seed, value, trial=f"{index} {seed}", settings={DOWNSTREAM: name})
            found.append(made.model_copy(update={"index": index, "parameters": {"auxskd.momentum": index}}))
    return found


def test_differences_of_configurations_on_the_same_set_are_paired_by_seed(sweep: list[Record]) -> None:
    found = resolution([sweep], "paper", "test/top1")
    expected = sensitivity([([1.0, 5.0, -2.0], None)])
    assert found is not None and expected is not None
    assert (found.pairs, found.sets) == (1, ("ucf101",)), "the configuration on the other set has none to be compared with"
    assert found.seen.spread == pytest.approx(np.std([1, 5, -2], ddof=1))
    assert found.unpaired == pytest.approx(np.hypot(np.std(FIRST, ddof=1), np.std(SECOND, ddof=1)))
    assert found.of(3) == pytest.approx(expected.detectable)
    assert found.of(20) < found.of(5) < found.of(3)


def test_what_is_of_another_preset_or_of_one_seed_says_nothing(sweep: list[Record]) -> None:
    assert resolution([sweep], "demo", "test/top1") is None
    assert resolution([sweep], "paper", "test/top5") is None
    assert resolution([[record for record in sweep if record.seed == 0]], "paper", "test/top1") is None
    assert resolution([], "paper", "test/top1") is None


def test_the_paper_s_effects_are_those_of_its_table() -> None:
    effects = paper_effects(paper_tables()["auxskd/table2"])
    assert effects == sorted(effects) and effects[0] > 0
    assert len(effects) > 5


def test_the_command_says_what_seeds_see_and_of_which_effects(sweep: list[Record], tmp_path: Path) -> None:
    (tmp_path / "some-paper").mkdir()
    ledger = Ledger(tmp_path / "some-paper")
    for record in sweep:
        ledger.append(record)
    asked = ["--runs-dir", str(tmp_path), "--preset", "paper"]
    said = runner.invoke(app, [*asked, "--seeds", "3", "--table", "auxskd/table2"]).output.splitlines()
    assert said[0].startswith("3 seeds see a difference of 11.") and "of test/top1 in 80% of cases (5 seeds: " in said[0]
    assert (
        said[1].startswith("by 1 pair of configurations of preset paper on record here, on ucf101: ")
        and "3.5 points, on the same videos, and would by 9.1 if the two had not the same seeds" in said[1]
    )
    assert said[2].startswith("the paper's ") and "3 seeds see 0, 5 seeds see" in said[2]
    one = runner.invoke(app, [*asked, "--seeds", "1"]).output
    assert "one seed tells no difference of test/top1 from chance (5 seeds: " in one
    many = runner.invoke(app, [*asked, "--seeds", "100"]).output
    assert many.startswith("100 seeds see a difference of ") and many.splitlines()[0].endswith("in 80% of cases")
    unknown = runner.invoke(app, ["--runs-dir", str(tmp_path), "--preset", "demo"]).output
    assert "which differences 3 seeds can see is not known: no sweep of preset demo here" in unknown
    wrong = runner.invoke(app, [*asked, "--table", "auxskd/tabel2"])
    assert wrong.exit_code == 2
