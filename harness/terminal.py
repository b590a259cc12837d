"""A terminal that may go away: a sweep does not end because nobody reads any more (`| head`, a closed window)."""

from __future__ import annotations

import os
import sys
from typing import IO, Any


class LastingOutput:
    """Standard output, whatever that is at the moment; what cannot be written to it any more is dropped."""

    @property
    def _stream(self) -> IO[str]:
        return sys.stdout

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._drop()

    def _drop(self) -> None:
        """From now on into nothing, also for what Python itself flushes at its end."""
        try:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)
        except (OSError, ValueError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
