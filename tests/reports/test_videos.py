"""What the choice of test videos adds: mean squares by hand, coverage by simulation, and what the store says of each video."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.ledger import FILE_NAME, Record, line_of
from reports.artifacts import Artifacts
from reports.claims import app as claims_app
from reports.compare import app as compare_app
from reports.power import Sensitivity
from reports.seeds import VideoError, equivalence_p, estimate, paired_test
from reports.tables import app as tables_app
from reports.videos import Told, over_splits, telling, video_error
from trainables.checksums import entry_of, sealed

Make = Callable[..., Record]


def told(*rows: list[int]) -> dict[int, Told | None]:
    """By seed, which videos were told right."""
    names = tuple(f"video {number}" for number in range(len(rows[0])))
    return {seed: Told(names, np.array(row, dtype=bool)) for seed, row in enumerate(rows)}


def test_the_error_of_videos_is_worked_out_by_hand() -> None:
    """d = (1 0 0 0), (1 0 0 -1): means of videos 1, 0, 0, -1/2, of seeds 1/4, 0, of all 1/8.

    MS_V = 2 (49 + 1 + 1 + 25) / 64 / 3 = 0.791667; residuals -1/8, -1/8, -1/8, 3/8 of seed 0 and their opposites of seed 1, so
    MS_E = 2 (1 + 1 + 1 + 9) / 64 / 3 = 0.125; (0.791667 - 0.125) / (2 x 4) = 1/12.
    """
    found = video_error([(1, told([1, 1, 0, 0], [1, 1, 0, 0])), (-1, told([0, 1, 0, 0], [0, 1, 0, 1]))])
    assert found is not None and found.videos == 4
    assert found.error == pytest.approx(100 * (1 / 12) ** 0.5)


def test_videos_on_which_all_seeds_agree_by_chance_alone_add_nothing() -> None:
    found = video_error([(1, told([1, 0, 0, 1], [0, 1, 1, 0])), (-1, told([0, 0, 1, 1], [0, 0, 1, 1]))])
    assert found is not None and found.error == 0.0
    assert estimate([1.0, 2.0, 4.0], found) == estimate([1.0, 2.0, 4.0])
    assert paired_test([1.0, 2.0, 4.0], found).p == pytest.approx(paired_test([1.0, 2.0, 4.0]).p)  # type: ignore[union-attr]


def test_several_splits_are_one_set_of_videos_whose_mean_is_the_mean_of_their_shares() -> None:
    """Shares of 1/2 of two and 1/4 of four videos, one of them in both; errors of different videos add up."""
    first, second = Told(("a", "b"), np.array([1.0, 0.0])), Told(("b", "c", "d", "e"), np.array([1.0, 0.0, 0.0, 0.0]))
    both = over_splits([first, second])
    assert both is not None and both.names == ("a", "b", "c", "d", "e")
    assert both.right == pytest.approx(np.array([1 / 2, 1 / 4, 0, 0, 0]) * 5 / 2)
    assert both.right.mean() == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert over_splits([first, None]) is None and over_splits([first]) is first
    random = np.random.default_rng(0)
    names = [[f"{split} {number}" for number in range(400)] for split in (1, 2)]
    right = random.random((2, 2, 5, 400)) < random.random((2, 2, 1, 400))  # row, split, seed, video
    rows = [[{seed: Told(tuple(names[s]), row[s, seed].astype(float)) for seed in range(5)} for s in (0, 1)] for row in right]
    apart = [video_error([(1, rows[0][s]), (-1, rows[1][s])]) for s in (0, 1)]
    joined = [{seed: over_splits([row[s][seed] for s in (0, 1)]) for seed in range(5)} for row in rows]
    together = video_error([(1, joined[0]), (-1, joined[1])])
    assert together is not None and together.videos == 800
    assert together.error == pytest.approx(np.hypot(*(one.error if one else np.nan for one in apart)) / 2, rel=0.05)


def test_what_is_not_known_of_all_or_is_of_other_videos_adds_nothing() -> None:
    row = told([1, 0], [0, 1])
    other = {seed: Told(("a", "b"), one.right) for seed, one in row.items() if one}
    assert video_error([(1, row), (-1, other)]) is None
    assert video_error([(1, row), (-1, {0: row[0], 1: None})]) is None
    assert video_error([(1, row), (-1, {0: row[0]})]) is None
    assert video_error([(1, row), (-1, {})]) is None


def test_half_widths_are_added_in_squares_and_tests_end_where_intervals_do() -> None:
    differences, videos = [1.0, 3.0, 5.0], VideoError(2.0, 50)
    found = estimate(differences, videos)
    assert found.interval is not None
    of_seeds, of_videos = 4.30265 * 2 / 3**0.5, 2.00958 * 2.0
    assert found.interval[1] - 3.0 == pytest.approx((of_seeds**2 + of_videos**2) ** 0.5, abs=1e-3)
    distance = found.interval[1] - found.mean
    moved = [value - 3.0 + distance for value in differences]
    test = paired_test(moved, videos)
    assert test is not None and test.of_videos and test.p == pytest.approx(0.05, abs=1e-6)
    assert equivalence_p(differences, 3.0 + distance, videos) == pytest.approx(0.025, abs=1e-6)
    assert equivalence_p(differences, 2.0, videos) == 1.0


def test_equal_seeds_are_tested_over_videos_and_by_the_sign_test() -> None:
    wide, narrow = (paired_test([2.0] * 8, VideoError(error, 100)) for error in (1.5, 0.01))
    assert wide is not None and wide.p == pytest.approx(0.185, abs=0.01)
    assert narrow is not None and narrow.p == 2.0**-7


@pytest.mark.parametrize("of_videos", [0.0, 1.0, 3.0], ids=["no effect of videos", "some", "much"])
@pytest.mark.parametrize(("seeds", "of_seeds"), [(3, 0.0), (3, 0.4), (5, 0.4)])
def test_intervals_cover_other_seeds_and_other_videos(seeds: int, of_seeds: float, of_videos: float) -> None:
    """In 500 worlds of 60 videos of different difficulty; the standard error of a coverage is then 1 %.

    One method's answers also vary with seeds, and are better on some videos and worse on others: the true difference is 0.
    """
    random = np.random.default_rng(seeds + int(10 * of_videos))
    shape = (500, seeds, 60)
    difficulty = random.normal(0, 1.5, (500, 1, 60))
    own = difficulty + random.normal(0, of_seeds, (500, seeds, 1)) + random.normal(0, of_videos, (500, 1, 60))
    right = random.random((2, *shape)) < 1 / (1 + np.exp(-np.stack(np.broadcast_arrays(own, difficulty + 0 * own))))
    names = tuple(map(str, range(60)))
    covered = alone = 0
    for first, second in zip(*right, strict=True):
        differences = list(100 * (first.mean(1) - second.mean(1)))
        said = [{seed: Told(names, of_seed) for seed, of_seed in enumerate(of_row)} for of_row in (first, second)]
        low, high = estimate(differences, video_error([(1, said[0]), (-1, said[1])])).interval or (0.0, 0.0)
        covered += low <= 0 <= high
        low, high = estimate(differences).interval or (0.0, 0.0)
        alone += low <= 0 <= high
    assert covered / 500 >= 0.95 - 0.025
    if of_videos == 3.0:
        assert alone / 500 < 0.93


def test_what_cannot_be_seen_for_lack_of_videos_is_seen_by_no_number_of_seeds() -> None:
    found = Sensitivity(50, 3, 1.0, video_error=1.0)
    assert found.seeds_needed(2.7) is None
    assert found.seeds_needed(3.0) is not None
    assert found.detectable == pytest.approx(np.hypot(Sensitivity(50, 3, 1.0).detectable, 2.8016), abs=1e-3)


# from the store


def keep(store: Path, stage: str, key: str, right: list[int]) -> None:
    """An artifact whose evaluation told these videos right (1) or wrong, and left out one without a label."""
    directory = store / stage / key
    directory.mkdir(parents=True)
    columns = {
        "name": [*(f"video {number}" for number in range(len(right))), "unlabelled"],
        "label": [*([1] * len(right)), -1],
        "predicted": [*right, 1],
    }
    (directory / "videos.json").write_text(json.dumps({"classes": ["a", "b"], "test": columns}))
    (directory / "done.json").write_text(sealed({"files": {"videos.json": entry_of(directory / "videos.json")}}))


@pytest.fixture
def runs(make_trial: Make, tmp_path: Path) -> Path:
    """Sweeps of Table 3 at 0.02 and at 0.1 with three seeds, of which the store has what was said of eight videos."""
    answers = {
        0.02: ([1, 1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0, 0]),
        0.1: ([1, 1, 1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]),
    }
    lines: dict[str, list[bytes]] = {}
    for temperature, of_row in answers.items():
        for seed, right in enumerate(of_row):
            key = f"{temperature}-{seed}"
            keep(tmp_path / "store", "evaluate", key, right)
            top1 = 100 * sum(right) / 8
            trial = make_trial(temperature, temperature, seed, top1, stages={"evaluate": key})
            lines.setdefault(f"at-{temperature}", []).append(line_of(trial))
    for sweep, of_sweep in lines.items():
        (tmp_path / sweep).mkdir()
        (tmp_path / sweep / FILE_NAME).write_bytes(b"".join(of_sweep))
    return tmp_path


def test_labelled_videos_of_a_part_are_read_for_the_share_that_they_are(runs: Path, make_trial: Make) -> None:
    said = telling(Artifacts(runs / "store"))
    trial = make_trial(0.02, 0.02, 0, 75.0, stages={"evaluate": "0.02-0"})
    found = said(trial, "test/top1")
    assert found is not None
    assert len(found.names) == 8 and found.right.mean() == pytest.approx(0.75)
    for metric in ("validation/top1", "test/map", "test/top1/hmdb51", "test/linear_probe_top1"):
        assert said(trial, metric) is None
    assert said(make_trial(0.02, 0.02, 0, 75.0, stages={"evaluate": "gone"}), "test/top1") is None
    joined = make_trial(0.02, 0.02, 0, 75.0, stages={"evaluate/ucf101": "0.02-0", "evaluate/hmdb51": "0.02-1"})
    found = said(joined, "test/top1/hmdb51")
    assert found is not None and found.right.sum() == 7


def run(app: Any, *arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tables_say_what_their_intervals_are_over_and_widen_them(runs: Path) -> None:
    with_videos, without = (
        run(tables_app, "auxskd/table3", "--runs-dir", runs, *options) for options in ((), ("--store", runs / "none"))
    )
    assert "Intervals and tests are over seeds and test videos." in with_videos
    assert "Intervals and tests are over seeds only: which videos were told right is not at hand." in without
    tables = (
        run(tables_app, "auxskd/table3", "--format", "csv", "--runs-dir", runs, *options)
        for options in ((), ("--store", runs / "none"))
    )
    lines = [next(line for line in csv.DictReader(io.StringIO(table)) if line["effect_seeds"] == "3") for table in tables]
    assert [line["over"] for line in lines] == ["seeds and videos", "seeds"]
    assert lines[0]["effect_mean"] == lines[1]["effect_mean"]
    assert float(lines[0]["effect_low"]) < float(lines[1]["effect_low"]) and float(lines[0]["p"]) > float(lines[1]["p"])
    assert float(lines[0]["detectable"]) > float(lines[1]["detectable"])


def test_claims_and_comparisons_are_over_videos_too(runs: Path) -> None:
    assert "are over seeds and test videos" in run(claims_app, "temperature-0.02", "--runs-dir", runs)
    printed = run(compare_app, "at-0.02", "at-0.1", "--runs-dir", runs)
    assert "-29.2 [" in printed and "Intervals and tests are over seeds and test videos." in printed
    assert "over seeds only: which" in run(compare_app, "at-0.02", "at-0.1", "--runs-dir", runs, "--store", runs / "none")


def test_a_damaged_file_counts_as_none(runs: Path) -> None:
    path = runs / "store" / "evaluate" / "0.1-2" / "videos.json"
    path.write_text(path.read_text().replace('"b"', '"c"'))
    assert "over seeds only" in run(tables_app, "auxskd/table3", "--runs-dir", runs)
