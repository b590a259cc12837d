"""What the store raises, and how errors of the operating system become one line that names the place."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError


class StoreError(OSError):
    """The store cannot be read or written (missing rights, full disk). The message says where; `errno` is that of the cause."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number

    def __reduce__(self) -> Any:
        return type(self), (*self.args, self.errno)


class LeaseLost(StoreError):
    """Another process has taken over what this one was making: it was suspended, or cut off from the store, for too long."""


class DamagedArtifact(StoreError):
    """An artifact is not what was published; the message names the file and what is wrong with it."""

    def __init__(self, directory: Path, problem: str) -> None:
        super().__init__(f"{directory.parent.name}/{directory.name} is damaged: {problem}, in {directory}")
        self.directory = directory
        self.problem = problem

    def __reduce__(self) -> Any:
        return type(self), (self.directory, self.problem)


@contextlib.contextmanager
def readable_errors(where: Path, doing: str = "write to") -> Iterator[None]:
    """Turn an operating-system error below into a StoreError that names the place."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"cannot {doing} the store at {where}: {error.strerror or error}", error.errno) from error
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise StoreError(f"cannot {doing} the store at {where}: {error}", int(number[1]) if number else None) from error
