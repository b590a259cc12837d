"""What is waited for, in a line, when it takes long: where the program or somebody's own code is, or what no node has."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from trainables.tracebacks import place_of

FIRST_WORD_SECONDS = 30.0
"""After which a wait is told of for the first time."""
WORD_SECONDS = 60.0
"""Between two times that it is told of."""
LOOK_SECONDS = 1.0


class Words:
    """When a word is due on a wait that began at `since`, by the monotonic clock."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.since = time.monotonic()
        self.next = self.since + FIRST_WORD_SECONDS

    def due(self) -> float | None:
        """For how many seconds it has been waited, when that is to be said now."""
        now = time.monotonic()
        if now < self.next:
            return None
        self.next = now + WORD_SECONDS
        return now - self.since


class Pulse:
    """Says where a thread is when it has not got on for long: at first that which makes this, then the one that `follow`s.

    A context manager, which has a thread of its own to look from.
    """

    def __init__(self, what: str, say: Callable[[str], None]) -> None:
        self.say = say
        self.words = Words()
        self._over = threading.Event()
        self.follow(what)

    def follow(self, what: str) -> None:
        """What this thread does from now on."""
        self.what, self.thread = what, threading.get_ident()
        self.words.begin()

    def beat(self) -> None:
        """It gets on."""
        self.words.begin()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="patience", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if (seconds := self.words.due()) is not None:
                self.say(f"{self.what} for {seconds:.0f} s by now, at {_place_of_thread(self.thread)}; Ctrl-C ends it")


def _place_of_thread(thread: int) -> str:
    """Where a thread is. Keeps no frame: what hangs on it would end in this thread, and Ray's objects must not outlive Ray."""
    frame = sys._current_frames().get(thread)
    return "its end" if frame is None else place_of(frame)


def no_room(asked: Mapping[str, float], nodes: Sequence[Mapping[str, float]], free: Mapping[str, float]) -> str:
    """Why no trial begins, by resources: what a trial asks for, what each node has, and what is free in all."""
    wanted = {name: amount for name, amount in asked.items() if amount}
    has = "; ".join(_amounts({name: node.get(name, 0) for name in wanted}) for node in nodes)
    said = f"a trial asks for {_amounts(wanted)}; the nodes of the cluster have {has or 'gone'}"
    if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        return f"{said}, of which {_amounts({name: free.get(name, 0) for name in wanted})} is free: it is in use by others"
    return f"{said}: none has that much, and the sweep waits for one that has"


def _amounts(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
