"""HMDB51: `<root>/<class>/*.avi`, with the official lists `<class>_test_split<S>.txt`.

A line of a list is a file name and a code: 1 = train, 2 = test, 0 = not used in that split, neither for training nor
for pretraining. A group is the source film, which may appear in several classes: the part of
`<film>_<class>_<tags>_<number>.avi` before the class, where the tags are the visible body parts, the camera motion, the
number of people, the viewpoint and the quality. The official splits never put one film of a class on both sides.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainables.video.layouts.listing import Entry, Layout, Listing, list_folders, sort_out_missing
from trainables.video.layouts.texts import lines, shown
from trainables.video.videos import DataError

_ARCHIVE = "testTrainMulti_7030_splits"
_PARTS = {"1": "train", "2": "test"}
_TAGS = r"_[a-z]_[a-z]{2}_np\d+_[a-z]{2}_[a-z]{3}_\d+(\.\w+)?$"


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of official split 1, 2 or 3. Raises DataError."""
    lists = _lists(root, splits, split)
    entries = [entry for label, path in lists.items() for entry in _list(path, label, sorted(lists, key=len, reverse=True))]
    return Listing(root, tuple(lists), *sort_out_missing(root, entries))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether the official lists are there, or the video `sample` has an official name."""
    named = sample is not None and re.search(_TAGS, sample) is not None
    return named or any(_found(place) for place in list_folders(root, splits, _ARCHIVE))


def _found(place: Path) -> list[tuple[str, int, Path]]:
    """(class, split, file) of every list in a directory."""
    matches = ((re.fullmatch(r"([^.].*)_test_split(\d+)\.txt", path.name), path) for path in place.glob("*.txt"))
    return sorted((match[1], int(match[2]), path) for match, path in matches if match)


def _lists(root: Path, splits: Path | None, split: int) -> dict[str, Path]:
    """The list of each class."""
    searched = list_folders(root, splits, _ARCHIVE)
    found = next(filter(None, map(_found, searched)), [])
    if not found:
        raise DataError(
            f"no list in {' or '.join(map(str, searched))}; expected the official lists of HMDB51 "
            "(brush_hair_test_split1.txt, ...): give their directory with --splits hmdb51=DIR"
        )
    lists = {label: path for label, number, path in found if number == split}
    without = [label for label, _, _ in found if label not in lists]
    if without:
        there = ", ".join(str(number) for number in sorted({number for _, number, _ in found}))
        lacking = found[0][2].with_name(f"{without[0]}_test_split{split}.txt")
        raise DataError(f"{lacking}: no such list; splits of which there are lists: {there}")
    return lists


def _list(path: Path, label: str, classes: Sequence[str]) -> Iterator[Entry]:
    seen: dict[str, str] = {}
    for where, line in lines(path):
        match = re.fullmatch(r"([^/]+\.\w+)\s+([012])", line)
        if match is None:
            raise DataError(f"{where}: {shown(line)}; expected a file name and 1 (train), 2 (test) or 0 (not used)")
        file, code = match[1], match[2]
        film = _film(file, [label, *classes])
        if film is None:
            raise DataError(
                f"{where}: no source film in {shown(file)}; expected <film>_{label}_<tags>_<number>.avi, "
                f"such as 'April_09_{label}_u_nm_np1_ba_goo_0.avi'"
            )
        if file in seen:
            raise DataError(f"{where}: {shown(file)} is listed before, at {seen[file]}")
        seen[file] = where
        if code in _PARTS:
            yield Entry(f"{label}/{file}", label, film, _PARTS[code], where)


def _film(file: str, classes: Sequence[str]) -> str | None:
    """The source film in the name of a file: what precedes the first of `classes` that precedes the tags."""
    tags = re.search(_TAGS, file)
    before = file[: tags.start()] if tags else ""
    return next((film for label in classes if (film := before.removesuffix(f"_{label}")) not in ("", before)), None)


LAYOUT = Layout(read, lies_at)
