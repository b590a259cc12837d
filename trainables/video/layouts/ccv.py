"""CCV (Columbia Consumer Video): `<root>/**/<youtube_id>.<extension>`, with the lists of the official release.

`trainVidID.txt` and `testVidID.txt` have a YouTube id per line, `trainLabel.txt` and `testLabel.txt` a row of twenty 0 and 1
for each, in the same order: one column per category, in the order of `CATEGORIES`. A video may show several categories,
of which the first is its label, or none: then it is left out of training and is a negative of every category in testing. In a
partial copy, categories that are no video's first are dropped. There is one split, of 4,659 training and 4,658 test videos;
each video is an upload of its own and so a group of its own.

Y.-G. Jiang, G. Ye, S.-F. Chang, D. Ellis, A. C. Loui: Consumer Video Understanding: A Benchmark Database and An Evaluation of
Human and Machine Performance. ICMR 2011. Results on it are mean average precision over the categories.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from trainables.video.layouts.listing import UNNAMED, Entry, Layout, Listing, by_stem, list_folders, video_files
from trainables.video.layouts.texts import lines, shown
from trainables.video.videos import DataError, Skipped

CATEGORIES = (
    "Basketball",
    "Baseball",
    "Soccer",
    "IceSkating",
    "Skiing",
    "Swimming",
    "Biking",
    "Cat",
    "Dog",
    "Bird",
    "Graduation",
    "Birthday",
    "WeddingReception",
    "WeddingCeremony",
    "WeddingDance",
    "MusicPerformance",
    "NonMusicPerformance",
    "Parade",
    "Beach",
    "Playground",
)
"""The categories in the order of the release's `categoryName.txt`, which is that of the columns of its label files."""

_LISTS = ("trainVidID.txt", "trainLabel.txt", "testVidID.txt", "testLabel.txt")


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of the one official split. Raises DataError."""
    if split != 1:
        raise DataError(f"data.split {split}; CCV has one official split, so it is 1 there")
    lists = _lists(root, splits)
    names, skipped = video_files(root)
    files = by_stem(names)
    present: dict[str, Entry] = {}
    missing: list[Entry] = []
    for part in ("train", "test"):
        for where, video, (label, *others) in _part(lists, part):
            entry = Entry(files.get(video, f"{video}.mp4"), label, video, part, where, tuple(others))
            if video not in files:
                missing.append(entry)
            elif entry.name in present:
                skipped.append(Skipped(entry.name, f"listed twice ({where})"))
            elif part == "train" and label == UNNAMED:
                skipped.append(Skipped(entry.name, "shows none of the categories"))
            else:
                present[entry.name] = entry
    return Listing(root, CATEGORIES, tuple(present.values()), tuple(missing), tuple(skipped))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether the official lists are there; that a video is named by its YouTube id says little."""
    return any(_has_lists(place) for place in list_folders(root, splits))


def _has_lists(place: Path) -> bool:
    return all((place / f"{part}VidID.txt").is_file() for part in ("train", "test"))


def _lists(root: Path, splits: Path | None) -> Path:
    """The directory of the four lists."""
    searched = list_folders(root, splits)
    found = next(filter(_has_lists, searched), None)
    if found is None:
        raise DataError(
            f"no trainVidID.txt and testVidID.txt in {' or '.join(map(str, searched))}; expected the official lists of CCV "
            f"({', '.join(_LISTS)}): give their directory with --splits ccv=DIR"
        )
    return found


def _part(lists: Path, part: str) -> Iterator[tuple[str, str, list[str]]]:
    """The place, YouTube id and categories of each video that a part lists; UNNAMED for one without."""
    ids, labels = lists / f"{part}VidID.txt", lists / f"{part}Label.txt"
    if not labels.is_file():
        raise DataError(f"{labels}: no such file; expected a row of {len(CATEGORIES)} 0 and 1 for each video of {ids.name}")
    videos, rows = list(lines(ids)), list(lines(labels))
    if len(videos) != len(rows):
        longer, shorter, common = (videos, labels, len(rows)) if len(videos) > len(rows) else (rows, ids, len(videos))
        raise DataError(
            f"{longer[common][0]}: {len(videos)} videos in {ids.name} and {len(rows)} rows in {labels.name}; "
            f"{shorter.name} ends before this line, and expected is a row for each video"
        )
    for (where, video), (place, row) in zip(videos, rows, strict=True):
        if re.fullmatch(r"[\w-]+", video) is None:
            raise DataError(f"{where}: {shown(video)}; expected a YouTube id, such as '-J7lRo9a7Ks'")
        marks = row.split()
        if len(marks) != len(CATEGORIES) or not {*marks} <= {"0", "1"}:
            raise DataError(f"{place}: {len(marks)} columns, {shown(row)}; expected {len(CATEGORIES)}, each 0 or 1")
        named = [category for category, mark in zip(CATEGORIES, marks, strict=True) if mark == "1"]
        yield where, video, named or [UNNAMED]


LAYOUT = Layout(read, lies_at, one_split=True)
