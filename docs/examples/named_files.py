"""A data layout of your own, in one file: videos in one folder, `<class>-<recording>-<number>.<extension>`.

    python harness/sweep.py --space recipes --data docs/examples/named_files.py:LAYOUT=videos
    python -m trainables.checks layout docs/examples/named_files.py:LAYOUT videos

The recording is the group: clips of one are never in training and in test. A fifth of each class's recordings are for testing.
"""

from __future__ import annotations

import re
from pathlib import Path

from trainables.video.layouts import Layout, Listing
from trainables.video.layouts.listing import Entry, video_files, with_test_part
from trainables.video.videos import DataError

NAME = re.compile(r"(?P<label>[^-/]+)-(?P<recording>[^-/]+)-\d+\.\w+")


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """Raises DataError for a file that is named otherwise."""
    names, skipped = video_files(root)
    entries = []
    for name in names:
        match = NAME.fullmatch(name)
        if match is None:
            raise DataError(f"{root / name}: expected <class>-<recording>-<number>.<extension>")
        entries.append(Entry(name, match["label"], f"{match['label']}-{match['recording']}", "train", str(root / name)))
    classes = tuple(sorted({entry.label for entry in entries}))
    return Listing(root, classes, with_test_part(entries), skipped=tuple(skipped))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    return sample is not None and NAME.fullmatch(sample) is not None


LAYOUT = Layout(read, lies_at)
