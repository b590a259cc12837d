"""Parts held out by whole groups, against the best of all choices, and on official lists and real clips."""

import os
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.video.layouts import find_layout, read_videos
from trainables.video.layouts.groups import hold_out, said_of
from trainables.video.videos import DataSource

CLIPS = os.environ.get("AUXGRAPH_CLIPS")
with_clips = pytest.mark.skipif(CLIPS is None, reason="AUXGRAPH_CLIPS is not set")
Members = list[tuple[str, str]]


def shares(members: Members, held: frozenset[str] | set[str]) -> dict[str, float]:
    total, out = Counter(label for label, _ in members), Counter(label for label, group in members if group in held)
    return {label: out[label] / total[label] for label in total}


def distance(members: Members, held: frozenset[str] | set[str], fraction: float) -> float:
    """What the module promises to keep small; a class that is held out whole is not admitted."""
    found = shares(members, held).values()
    return float("inf") if 1 in found else sum((share - fraction) ** 2 + (0.25 if share == 0 else 0) for share in found)


def best(members: Members, fraction: float) -> float:
    groups = sorted({group for _, group in members})
    return min(distance(members, set(chosen), fraction) for size in range(len(groups)) for chosen in combinations(groups, size))


def test_on_small_sets_it_is_the_best_choice_that_there_is_or_close_to_it() -> None:
    """Of 200 sets of up to four classes and nine groups that share them, 95 % are as good as trying every choice makes them."""
    rng = random.Random(1)
    optimal = 0
    for _ in range(200):
        classes, groups = rng.randint(1, 4), rng.randint(2, 9)
        members = [(str(rng.randrange(classes)), f"g{rng.randrange(groups)}") for _ in range(rng.randint(5, 50))]
        fraction = rng.choice([0.05, 0.1, 0.2, 0.3, 0.5])
        reached, possible = distance(members, hold_out(members, fraction), fraction), best(members, fraction)
        optimal += reached <= possible + 1e-9
        assert reached <= possible + 0.25
    assert optimal >= 190


members_of_any_set = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60)


@given(drawn=members_of_any_set, fraction=st.floats(0.01, 0.99), shared=st.booleans(), seed=st.integers(0, 9))
def test_no_class_is_emptied_and_the_order_of_videos_changes_nothing(
    drawn: list[tuple[int, int]], fraction: float, shared: bool, seed: int
) -> None:
    members = [(str(label), f"g{group}" if shared else f"{label}/g{group}") for label, group in drawn]
    held = hold_out(members, fraction)
    assert max(shares(members, held).values()) < 1
    shuffled = random.Random(seed).sample(members, len(members))
    assert hold_out(shuffled, fraction) == held


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=5), fraction=st.floats(0.01, 0.6))
def test_where_each_video_is_a_group_a_class_loses_the_nearest_number_and_at_least_one(
    counts: list[int], fraction: float
) -> None:
    members = [(str(label), f"{label}/{number}") for label, count in enumerate(counts) for number in range(count)]
    found = shares(members, hold_out(members, fraction))
    for label, count in enumerate(counts):
        out = round(found[str(label)] * count)
        possible = range(1, count) if count > 1 else [0]
        assert abs(out - fraction * count) <= min(abs(number - fraction * count) for number in possible) + 1e-6


def test_other_salts_hold_other_groups_out() -> None:
    members = [("a", f"g{number}") for number in range(50)]
    assert hold_out(members, 0.2) != hold_out(members, 0.2, salt="test ")


def test_one_large_group_is_not_held_out_for_a_small_fraction() -> None:
    """Of eleven scenes one has 43 % of the videos; whichever groups are counted, the share of videos is what is asked for."""
    members = [
        (label, f"scene {n}") for n, videos in enumerate([43, *[6] * 7, *[5] * 3]) for label in "ab" for _ in range(videos)
    ]
    for fraction, least, most in ((0.05, 0.04, 0.07), (0.1, 0.09, 0.12), (0.2, 0.18, 0.22), (0.3, 0.28, 0.32)):
        found = shares(members, hold_out(members, fraction))
        assert all(least <= share <= most for share in found.values())


def test_a_class_with_two_groups_has_validation_videos_unless_they_take_too_many() -> None:
    common = [("common", f"g{number}") for number in range(13)]
    members = [*common, ("rare", "one"), ("rare", "other")]
    assert shares(members, hold_out(members, 0.1))["rare"] == 0.5
    members = [*common, *[(label, group) for group in ("one", "other") for label in ["rare"] * 5 + ["common"] * 60]]
    assert shares(members, hold_out(members, 0.1)) == {"common": pytest.approx(0.1, abs=0.01), "rare": 0}


@with_clips
@pytest.mark.parametrize("split", [1, 2, 3])
def test_films_that_several_classes_of_hmdb51_share_leave_every_class_its_share(split: int, tmp_path: Path) -> None:
    """The official lists: some 1,000 films, the largest in many classes; a tenth of each class is 7 videos of 70."""
    listing = find_layout("hmdb51").read(tmp_path, Path(CLIPS or "") / "splits" / "hmdb51", split)
    members = [(entry.label, entry.group) for entry in listing.missing if entry.part == "train"]
    found = shares(members, hold_out(members, 0.1)).values()
    assert len(found) == 51 and len(members) == 3570
    assert min(found) >= 0.08 and max(found) <= 0.12


@with_clips
@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.2, 0.3])
def test_what_is_reached_on_the_real_clips_is_near_and_said(fraction: float) -> None:
    clips = Path(CLIPS or "")
    for name, root, splits, group in (("ucf101", "UCF-101", "ucf101", 7), ("folder", "ut-interaction", "ut-interaction", 7)):
        source = DataSource(clips / root, clips / "splits" / splits)
        videos = read_videos(name, source, split=1, validation_fraction=fraction)
        total = len(videos.train) + len(videos.validation)
        assert abs(len(videos.validation) / total - fraction) < 0.025
        for label in range(len(videos.classes)):
            kept, held = (sum(video.label == label for video in part) for part in (videos.train, videos.validation))
            assert held > 0 and abs(held - fraction * (kept + held)) <= group / 2
        note = videos.notes[-1]
        assert note.startswith(f"validation: {fraction:.0%} asked for, {len(videos.validation) / total:.1%} held out")


def test_a_note_warns_where_what_is_reached_is_far_from_what_was_asked_for() -> None:
    near = [(label, f"{label}{number}") for label in "ab" for number in range(20)]
    said = said_of("validation", near, {"a0", "a1", "b0", "b1"}, 0.1)
    assert said == (
        "validation: 10% asked for, 10.0% held out (4 videos, 4 groups), of classes 10.0% (a) to 10.0% (b); "
        "the smallest, a, keeps 18 training videos"
    )
    far = said_of("validation", near, {"a0", "a1", "a2", "a3", "b0", "b1"}, 0.1)
    assert far.startswith("far from what was asked for, as groups stay whole: validation: 10% asked for, 15.0% held out")
    assert "to 20.0% (a); the smallest, a, keeps 16 training videos" in far
    assert said_of("test", [("unlabelled", str(n)) for n in range(10)], {"1"}, 0.1).endswith("held out (1 video, 1 group)")
