"""What confirms a search: which configurations, by which seeds, and how many more where effects are undecided, by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.identity import CONFIRM, Confirm, write_identity
from harness.ledger import FILE_NAME, Record, line_of
from reports.confirm import app
from reports.confirmation import Confirmation, confirmation
from reports.leaderboard import Objective, leaderboard
from reports.power import sensitivity
from reports.verdicts import verdict_at
from search_spaces.papers import paper_tables

Make = Callable[..., Record]
TABLE3 = paper_tables()["auxskd/table3"]
ROWS = [row.label for row in TABLE3.rows if not row.quoted]
BEST_ROW = "0.02 / 0.02"


@pytest.fixture
def of(make_trial: Make) -> Make:
    """A trial at a position: the first ones are two rows of the table, of which the paper's best is the second."""

    def make(position: int, seed: int, reached: float | None) -> Record:
        teacher = (0.01, 0.02, 0.3, 0.4, 0.5)[position]
        row = f"{teacher:g} / {teacher:g}" if position < 2 else None
        trial = make_trial(teacher, teacher, seed, reached, index=position, row=row)
        metrics = {} if reached is None else {"test/top1": reached / 100, "validation/top1": reached / 100}
        return trial.model_copy(update={"metrics": metrics})

    return make


def confirmed(records: Iterable[Record], confirm: Confirm) -> Confirmation:
    return confirmation(list(records), Objective("validation/top1", confirm=confirm), confirm, TABLE3)


def test_the_best_by_the_search_s_seeds_and_the_rows_are_confirmed(of: Make) -> None:
    """By seed 0, which the search had: what later seeds say, even before they are all there, changes nothing of it."""
    first = [of(0, 0, 40), of(1, 0, 50), of(2, 0, 30), of(3, 0, 60), of(4, 0, None)]
    found = confirmed(first, Confirm(2, 3, 1, False))
    assert found.picked == (3, 1)
    assert found.rows == (0, 1)
    assert found.seeds == {3: 3, 1: 3, 0: 3}
    assert (found.looks, found.is_over, found.questions) == (0, False, ())
    assert confirmed([*first, of(3, 1, 1), of(2, 1, 99)], Confirm(2, 3, 1, False)).seeds == found.seeds


def test_what_a_search_found_is_judged_by_seeds_it_has_not_seen(of: Make) -> None:
    """Position 3 was lucky at seed 0; by seeds 1 to 4 it is 5 points below the best row, with a spread that shows it."""
    records = [of(position, 0, {3: 95, 1: 60}.get(position, 50)) for position in range(4)]
    for seed, noise in enumerate((0.0, 1.0, -1.0, 0.5), start=1):
        records += [of(0, seed, 40 + noise), of(1, seed, 50 - noise), of(3, seed, 45 + noise)]
    found = confirmed(records, Confirm(1, 5, 1, False))
    assert found.is_over and found.looks == 1
    question = next(one for one in found.questions if one.published is None)
    assert question.positions == (1, 3)
    assert question.differences == pytest.approx([-5, -3, -7, -4])
    assert question.verdict == "worse"
    (paper,) = (one for one in found.questions if one.published is not None)
    assert len(paper.differences) == 5, "no choice was made among the paper's rows"
    assert paper.name == f"0.01 / 0.01 against {BEST_ROW}"
    board = leaderboard("mine", records, Objective("validation/top1", confirm=found.asked))
    assert board.best is not None and board.best.position == 1 and board.best.stands
    by_position = {one.position: one for one in board.ranked}
    assert by_position[3].objective is not None and by_position[3].objective.mean == pytest.approx(45.125)
    assert not by_position[2].stands, "one that is not confirmed is not the best"
    assert by_position[2].is_over, "and lacks nothing that it was to have"


def noisy(of: Make, seeds: int, effect: float, spread: float) -> list[Record]:
    """Two rows, the first `effect` points above the second, with differences of a given spread."""
    rng = np.random.default_rng(3)
    return [
        trial
        for seed, noise in enumerate(rng.normal(0, spread, seeds))
        for trial in (of(0, seed, 50 + effect + float(noise)), of(1, seed, 50))
    ]


def test_seeds_are_added_until_the_paper_s_effect_cannot_have_been_missed(of: Make) -> None:
    """Each look asks for what would see the paper's effect by the spread so far, and for twice as many at most; it ends when
    the smallest effect that would have been seen is no larger than the paper's."""
    confirm = Confirm(0, 4, 1, True)
    every = noisy(of, 200, 0.0, 2.0)
    size = abs(TABLE3.rows[0].published["ucf101"] - TABLE3.rows[1].published["ucf101"])  # type: ignore[operator]
    seeds, asked = 4, [4]
    while True:
        found = confirmed([one for one in every if one.seed < seeds], confirm)
        (number,) = set(found.seeds.values())
        if found.is_over:
            break
        differences = [one.metrics["test/top1"] * 100 - 50 for one in every if one.index == 0 and one.seed < seeds]
        seen = sensitivity([(differences, None)])
        assert seen is not None and seen.detectable > size
        assert number == min(2 * seeds, seen.seeds_needed(size) or 0)
        seeds = number
        asked.append(number)
    assert len(asked) == found.looks and asked[-1] > 16
    (question,) = found.questions
    assert question.verdict is not None or (question.detectable is not None and question.detectable <= size)
    assert confirmed([one for one in every if one.seed < 4], Confirm(0, 4, 1, False)).is_over, "none without --budget"


def test_the_order_in_which_trials_end_changes_nothing(of: Make) -> None:
    """Whatever is there beyond a look, the look asks for the same."""
    confirm = Confirm(0, 4, 1, True)
    every = noisy(of, 40, 0.0, 1.0)
    at_once = confirmed(every, confirm)
    shuffled = random.Random(0).sample(every, len(every))
    there: list[Record] = []
    seeds = confirmed(every[:0] + [one for one in every if one.seed < 1], confirm).seeds
    for record in shuffled:
        there.append(record)
        found = confirmed(there, confirm) if {one.index for one in there} == {0, 1} else None
        if found is not None and found.looks < at_once.looks:
            assert all(number <= at_once.seeds[position] for position, number in found.seeds.items())
    assert confirmed(there, confirm) == at_once
    assert set(seeds.values()) == {4}


def test_a_decided_effect_gets_no_more_seeds(of: Make) -> None:
    """Twenty points are shown by four seeds, at half of the level."""
    found = confirmed(noisy(of, 8, 20.0, 1.0), Confirm(0, 4, 1, True))
    assert (found.looks, found.is_over, set(found.seeds.values())) == (1, True, {4})
    assert found.questions[0].verdict == "disagrees", "the paper has it below"


def test_looking_again_does_not_show_more_than_a_test_allows() -> None:
    """Of pure noise, looked at with 4, 8, 16, 32 and 64 seeds, 5 % are wrong at most; at 5 % at each look it would be more."""
    from scipy import stats

    differences = np.random.default_rng(0).normal(0, 1, (2000, 64))
    looks = [stats.ttest_1samp(differences[:, :number], 0, axis=1).pvalue for number in (4, 8, 16, 32, 64)]
    spent = np.mean(np.any([p < 0.05 / 2 ** (look + 1) for look, p in enumerate(looks)], axis=0))
    plain = np.mean(np.any([p < 0.05 for p in looks], axis=0))
    assert spent <= 0.05 < 0.1 < plain


def test_the_command(of: Make, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    confirm = {"best": 1, "seeds": 3, "first": 1, "sequential": False}
    write_identity(place, {"objective": "validation/top1", "table": "auxskd/table3", CONFIRM: confirm})
    records = [
        of(position, seed, 50 + position + seed) for position in (0, 1, 2) for seed in range(3) if position < 2 or not seed
    ]
    (place / FILE_NAME).write_bytes(b"".join(map(line_of, records)))
    seeds = CliRunner().invoke(app, ["mine", "--runs-dir", str(tmp_path), "--seeds"])
    assert json.loads(seeds.stdout) == {"2": 3, "0": 3, "1": 3}
    said = CliRunner().invoke(app, ["mine", "--runs-dir", str(tmp_path)])
    assert "The 3 seeds have not all ended" in said.stdout and "the 1 best by 1 seed of the search #2" in said.stdout
    assert "a test of this one alone at 5 %" in " ".join(said.output.split())
    write_identity(place, {"objective": "validation/top1"})
    refused = CliRunner().invoke(app, ["mine", "--runs-dir", str(tmp_path)])
    assert refused.exit_code == 2 and "was not run with --confirm" in refused.output


def test_a_verdict_is_what_its_own_level_shows() -> None:
    """Where 5 % would show a wrong sign and 2.5 % does not, what stands is that the effect is smaller."""
    assert verdict_at(0.05, 1, [-1.0, -2.0], 0.04, 0.01) == "disagrees"
    assert verdict_at(0.025, 1, [-1.0, -2.0], 0.04, 0.01) == "smaller"
    assert verdict_at(0.05, 1, [1.0, 2.0], 0.001, 0.04) == "smaller"
    assert verdict_at(0.025, 1, [1.0, 2.0], 0.001, 0.04) == "agrees"
    assert verdict_at(0.01, 1, [1.0, 2.0], 0.02, 0.04) == "undecided"
