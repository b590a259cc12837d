"""Lists as people write them, read line by line and item by item, and quoted in messages."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainables.video.videos import DataError

_LONGEST = 80


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a list that are not blank, stripped, each with its `file:line`. Raises DataError."""
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def json_items(path: Path) -> Iterator[tuple[str, Any]]:
    """The items of a list in a JSON file, each with the `file:line` where it begins. Raises DataError."""
    text = _text(path)
    breaks = [found.start() for found in re.finditer("\n", text)]
    decoder = json.JSONDecoder()

    def refusal(place: int, expected: str) -> DataError:
        return DataError(f"{path}:{bisect_left(breaks, place) + 1}: {shown(text[place:])}; expected {expected}")

    place, sign = _after_blanks(text, 0), "["
    while text[place : place + 1] == sign:
        place = _after_blanks(text, place + 1)
        if sign == "[" and text[place : place + 1] == "]":
            return
        start = place
        try:
            item, place = decoder.raw_decode(text, start)
        except ValueError:
            raise refusal(start, "JSON") from None
        yield f"{path}:{bisect_left(breaks, start) + 1}", item
        place, sign = _after_blanks(text, place), ","
    if sign == "[" or text[place : place + 1] != "]":
        raise refusal(place, "'[' and a list of videos" if sign == "[" else "',' or ']' after an item")


def json_content(path: Path) -> Any:
    """What a JSON file holds. Raises DataError."""
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None


def below(root: Path, text: str, where: str) -> str:
    """The posix path below `root` that a list names. Raises DataError, with the line, for one that leads out of it."""
    path = Path(text)
    if path.is_absolute() and path.is_relative_to(root):
        path = path.relative_to(root)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in text:
        raise DataError(f"{where}: {shown(text)} is not below {root}; paths are relative to it")
    return path.as_posix()


def shown(text: str) -> str:
    """A text of somebody's list as messages quote it: on one line, printable and not long."""
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error.reason})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _after_blanks(text: str, place: int) -> int:
    while text[place : place + 1].isspace():
        place += 1
    return place
