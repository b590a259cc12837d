"""What is known of the videos of a data set, kept in a file: a line for each, with a seal that says if it is what was written.

New lines are appended, in one write, so several processes may add to a file and adding costs no more in a large one. Of several
lines of one video the last counts; damaged ones, and those of other rules of decoding, count for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from trainables.checksums import Mismatch, sealed_line, unsealed_line
from trainables.files import write_atomically
from trainables.video.contents import Identity
from trainables.video.decoding import RULES


class Finding(NamedTuple):
    """What reading a video of this identity gave: its content, and frames and decoder, or why it cannot be used.

    content: "" where it could not be read. shown: a digest of what it decodes to, "" where that was not asked for. left_out: an
    image in a directory of frames that is none of them.
    """

    bytes: int
    modified: int
    changed: int
    content: str
    frames: int
    decoder: str
    reason: str
    shown: str = ""
    left_out: str = ""

    @property
    def identity(self) -> Identity:
        return Identity(self.bytes, self.modified, self.changed)


def read_findings(file: Path) -> dict[str, Finding]:
    """The findings kept in `file`, by the video's name; none where it cannot be read.

    A file in which any line is damaged, or every second one counts for nothing, is written anew.
    """
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except OSError:
        return {}
    findings: dict[str, Finding] = {}
    damaged = 0
    for line in lines:
        try:
            content = json.loads(unsealed_line(line) or b"null")
            if content["rules"] == RULES:
                findings[content["name"]] = Finding(*content["found"])
        except (Mismatch, ValueError, KeyError, TypeError):
            damaged += 1
    if damaged or len(lines) > 2 * len(findings):
        _write_anew(file, findings)
    return findings


def add_findings(file: Path, findings: Mapping[str, Finding]) -> None:
    """Append to `file`. A directory that cannot be written to costs probing again next time, nothing else."""
    if not findings:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a+b", buffering=0) as opened:
            lines = _lines(findings)
            if opened.tell():
                opened.seek(-1, 2)
                lines = lines if opened.read(1) == b"\n" else b"\n" + lines  # after a line that a crash cut off
            opened.write(lines)
    except OSError:
        pass


def _write_anew(file: Path, findings: Mapping[str, Finding]) -> None:
    try:
        write_atomically(file, _lines(findings))
    except OSError:
        pass


def _lines(findings: Mapping[str, Finding]) -> bytes:
    return b"".join(
        sealed_line({"name": name, "found": list(found), "rules": RULES}) for name, found in sorted(findings.items())
    )
