"""What keeps trials from running and is not their outcome: a full disk, a lost node, data that are not mounted.

Such a trial is tried again after a while, and nothing is recorded of it. A full disk pauses the sweep until there is room. When
trials are hindered many times in a row, with no stage made in between, the sweep gives up.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MOST_IN_A_ROW = 5
FIRST_PAUSE = 1.0
"""Seconds before a hindered trial is tried again; twice as many each time that it is hindered again in a row."""
LOOK_SECONDS = 2.0
REMIND_SECONDS = 60.0
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class GivenUp(RuntimeError):
    """Trials were hindered too often in a row; the message says by what."""


@dataclass
class Hindrances:
    """store: where room is looked for when there was none. note: tells the user."""

    store: Path
    note: Callable[[str], None]
    in_a_row: int = 0
    until: float = 0.0
    free_when_full: int | None = None
    looked: float = -LOOK_SECONDS
    reminded: float = 0.0

    def met(self, trial: str, reason: str, number: int | None) -> None:
        """A trial could not go on. number: the errno of the cause, where it has one. Raises GivenUp."""
        now = time.monotonic()
        if number in NO_ROOM:
            self.free_when_full, self.reminded = self._free(), now
            self.note(f"paused: {reason}; goes on as soon as there is room there (Ctrl-C ends the sweep)")
            return
        self.in_a_row += 1
        if self.in_a_row >= MOST_IN_A_ROW:
            raise GivenUp(f"{self.in_a_row} times in a row a trial could not run: {reason}")
        pause = FIRST_PAUSE * 2 ** (self.in_a_row - 1)
        self.until = now + pause
        self.note(f"trial {trial} could not run: {reason}; tried again in {pause:g} s")

    def over(self) -> None:
        """A trial made a stage."""
        self.in_a_row = 0

    def waiting(self) -> bool:
        """Whether it is too early to try again."""
        now = time.monotonic()
        if self.free_when_full is not None and now - self.looked >= LOOK_SECONDS:
            self.looked = now
            if self._free() > self.free_when_full:
                self.free_when_full = None
                self.note("there is room again: the sweep goes on")
            elif now - self.reminded >= REMIND_SECONDS:  # what was full need not be this disk
                self.free_when_full = None
                self.note(f"still no room at {self.store}, as far as can be seen from here: tried again")
        return self.free_when_full is not None or now < self.until

    def _free(self) -> int:
        """Free bytes, in steps that a log or a lease does not reach."""
        try:
            return shutil.disk_usage(self.store).free // 2**20
        except OSError:
            return 0
