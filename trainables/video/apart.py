"""Videos of very large frames, decoded in a process of its own: a decoder may hold ten frames of a hundred megabytes, beside
which there is no room for torch and frames in RGB.

A process is started each time that a file is decoded, and ends with the one that started it, however that ends. It imports no
torch, and hands over the frames that are asked for in RGB, some rows at a time; what is taken of them stays here. Pixels and
errors are those of decoding in this process.
"""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

import numpy as np

from trainables.video.pixels import Elsewhere, Pixels, converter

_START = "import sys; sys.path[:] = sys.argv[3:]; from trainables.video.apart import serve; serve(*map(int, sys.argv[1:3]))"
_ROWS = 96  # converted at a time
_AROUND = 16  # rows, on which those beside them may depend
Taken = TypeVar("Taken")


class _Found(NamedTuple):
    place: int
    height: int
    width: int


class DecoderDied(OSError):
    """The process that decodes a file has ended, for want of memory or by a fault of the decoder; the message names the file
    and the exit code. Nothing is concluded of the file, as it may be read another time."""


def frames_apart(
    decode: Callable[..., Iterator[tuple[int, Any]]], *given: Any, take: Callable[[int, Any], Taken]
) -> Iterator[tuple[int, Taken]]:
    """What `decode(*given, take)` gives, in rising order of places, by running it in another process; only `take` runs in this
    one. Raises what it raises, and DecoderDied if the process ends."""
    taken: dict[int, Taken] = {}
    with _process() as (process, connection):

        def fetch(height: int, width: int) -> Pixels:
            connection.send((height, width))
            pixels = np.empty((height, width, 3), dtype=np.uint8)
            rows, filled = pixels.reshape(-1).data, 0
            while filled < pixels.nbytes:
                filled += connection.recv_bytes_into(rows, filled)
            return pixels

        try:
            connection.send((decode, given))
            while (told := connection.recv()) is not None:
                if isinstance(told, Exception):
                    raise told
                if isinstance(told, _Found):
                    taken[told.place] = take(told.place, Elsewhere(told.height, told.width, fetch))
                    connection.send(None)
                else:
                    yield told, taken[told]
                    taken = {place: one for place, one in taken.items() if place > told}
        except (EOFError, ConnectionError):
            raise DecoderDied(f"the process that decodes {given[0]} has ended, with exit code {process.wait()}") from None


@contextlib.contextmanager
def _process() -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), str(os.getpid()), *sys.path],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is not meant for it
            )
        try:
            yield process, ours
        finally:
            process.kill()
            process.wait()


def serve(descriptor: int, parent: int) -> None:
    """The other process: decodes as it is told at the other end of a connection, as long as its parent lives."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    convert = converter()
    with contextlib.suppress(EOFError, ConnectionError), Connection(descriptor) as connection:

        def take(place: int, frame: Any) -> None:
            connection.send(_Found(place, frame.height, frame.width))
            while size := connection.recv():
                for rows in _in_parts(frame, size, convert):
                    connection.send_bytes(np.ascontiguousarray(rows).data.cast("B"))

        decode, given = connection.recv()
        try:
            for place, _ in decode(*given, take):
                connection.send(place)
            connection.send(None)
        except ConnectionError:
            raise
        except Exception as error:
            connection.send(error)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _in_parts(frame: Any, size: tuple[int, int], convert: Callable[..., Pixels]) -> Iterator[Pixels]:
    """The rows of a frame in RGB of this size, of large frames a few at a time, where these are the same."""
    if size != (frame.height, frame.width) or frame.height % _AROUND or not frame.format.name.startswith("yuv4"):
        yield convert(frame, *size)
        return
    for top in range(0, frame.height, _ROWS):
        first, end = max(0, top - _AROUND), min(frame.height, top + _ROWS)
        yield convert(_cropped(frame, first, min(frame.height, end + _AROUND)))[top - first : end - first]


def _cropped(frame: Any, first: int, end: int) -> Any:
    """The rows from `first` to `end` as a frame, without a copy."""
    from av.filter import Graph

    graph: Any = Graph()
    steps = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)),
        graph.add("crop", f"{frame.width}:{end - first}:0:{first}:exact=1"),
        graph.add("buffersink"),
    ]
    for step, following in itertools.pairwise(steps):
        step.link_to(following)
    graph.configure()
    steps[0].push(frame)
    return steps[-1].pull()
