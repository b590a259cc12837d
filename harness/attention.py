"""The main thread attends while another works: to signals, and to whether what the work rests on is still there.

Ray may hold a thread for ever in code that knows no exceptions, and would end the process from inside without a word. So it has
a thread of its own, which is told to end, and which the process leaves behind where it does not. Imports no Ray.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 1.0
CONNECTING_SECONDS = 0.1
"""Between two looks while the cluster is being connected to."""
ANSWER_SECONDS = 2.0
MOST_UNANSWERED = 10
"""Looks in a row that find no answer, after which a cluster counts as lost."""
MOST_UNANSWERED_HERE = 3
"""The same of one on this machine, to which no network is on the way."""
BEGIN_SECONDS = 2.0
"""How long work that only connects yet may take to end after it was told to."""
END_SECONDS = 15.0
"""How long work may take to end after it was told to: workers end, Ray shuts down."""
LOST_SECONDS = 5.0
"""How long it may take to end without a cluster."""
LOCK_SECONDS = 3.0
AGAIN_SECONDS = 0.1


class ClusterLost(RuntimeError):
    """The Ray cluster is gone; the message says what does not answer any more."""


@dataclass
class Stop:
    """Why the work is to end: a signal, a lost cluster, or an error of the bookkeeper, each of which Ray would swallow.

    end_seconds: how long the end may take once it is asked for. ends_by: until when work that ends by itself has to have ended,
    by the monotonic clock. Bookkeeping is done inside `booking`, by one thread at a time.
    """

    error: BaseException | None = None
    end_seconds: float = BEGIN_SECONDS
    ends_by: float = math.inf
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def because(self, error: BaseException) -> None:
        self.error = self.error or error

    def check(self) -> None:
        """Raises what the work is to end with, if anything."""
        if self.error is not None:
            raise self.error

    @contextlib.contextmanager
    def booking(self, *passed_on: type[Exception]) -> Iterator[None]:
        """Keeps what is raised inside, for `check` to raise it where Ray lets it through. Raises where books are closed."""
        with self.lock:
            if self.closed:
                raise RuntimeError("the books are closed")
            try:
                yield
            except passed_on:
                raise
            except Exception as error:
                self.because(error)

    def close_books(self) -> None:
        """No thread but this one does bookkeeping any more; one that hangs in it is not waited for."""
        taken = self.lock.acquire(timeout=LOCK_SECONDS)
        self.closed = True
        if taken:
            self.lock.release()


@dataclass
class Doors:
    """Where the cluster answers, by what answers there, as host and port; nothing before it is connected to.

    most_unanswered: after how many looks in a row without an answer it is lost. unknown: what has died, in words, where nothing
    answers yet.
    """

    most_unanswered: int = MOST_UNANSWERED
    known: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    unknown: Callable[[], str | None] = lambda: None

    def closed(self) -> str | None:
        """What does not answer, or None."""
        if not self.known:
            return self.unknown()
        for name, (host, port) in self.known.items():
            try:
                socket.create_connection((host, port), ANSWER_SECONDS).close()
            except OSError as error:
                return f"{name} at {host}:{port} does not answer ({error.strerror or error})"
        return None


class _Worker(threading.Thread):
    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="ray", daemon=True)
        self.work = work
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def begin(self) -> None:
        """Start it, while signals wait: one in between would find work that can be neither interrupted nor left behind."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def run(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # processes inherit what is blocked
        try:
            self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt in it, at its next step in Python."""
        assert self.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(KeyboardInterrupt))

    def end(self, seconds: float) -> None:
        """Leave it behind when it takes longer than that to end."""
        try:
            self.ended.wait(seconds)
        finally:
            if not self.ended.is_set():
                _left_behind.append(self)


_left_behind: list[_Worker] = []


def attend(work: Callable[[], None], stop: Stop, doors: Doors) -> None:
    """Do the work in a thread of its own, until it has ended, or is left behind.

    Raises what the work raised, KeyboardInterrupt for a signal, or ClusterLost. Work that should have ended by itself by now is
    left behind, too, and what it has told `stop` is raised.
    """
    with interruptible():
        _attend(_Worker(work), stop, doors)


def _attend(worker: _Worker, stop: Stop, doors: Doors) -> None:
    try:
        worker.begin()
        unanswered = 0
        while not worker.ended.wait(LOOK_SECONDS if doors.known else CONNECTING_SECONDS):
            listen()  # again: Ray's C++ listens for SIGTERM itself once it is connected, and would abort the process
            closed = doors.closed()
            unanswered = unanswered + 1 if closed else 0
            if unanswered >= doors.most_unanswered:
                raise ClusterLost(f"the Ray cluster is lost: {closed}")
            if time.monotonic() > stop.ends_by:
                worker.end(0)
                stop.check()
                return
    except (KeyboardInterrupt, ClusterLost) as error:
        worker.interrupt()  # before `stop` is told: later it might come in the middle of an orderly end
        stop.because(error)
        worker.end(stop.end_seconds if isinstance(error, KeyboardInterrupt) else LOST_SECONDS)
        raise
    if worker.error is not None:
        raise worker.error


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread."""
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}
    hook, sys.unraisablehook = sys.unraisablehook, _swallowed
    listen()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def listen() -> None:
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    """What Python cannot raise where it is, as in a callback, is told; but a signal comes once more, a moment later."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
    elif threading.current_thread() is threading.main_thread():
        threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()


def leave(code: int) -> None:
    """End the process at once where work was left behind, which an orderly end would wait for."""
    if any(not worker.ended.is_set() for worker in _left_behind):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
