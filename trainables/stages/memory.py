"""Memory that does not suffice: told from other errors, and said so that one knows what to change."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

SIGNS = ("can't allocate memory", "out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
"""Parts of the messages of RuntimeErrors that say that memory ran out: of torch on a CPU, and of CUDA's libraries."""


class OutOfMemory(RuntimeError):
    """A stage needed more memory than there is; the message says which, of what size, and what would need less.

    parts: a value of `compute.accumulation` with which it would; None where a batch cannot be divided further.
    """

    def __init__(self, message: str, parts: int | None = None) -> None:
        super().__init__(message)
        self.parts = parts


def within_memory(run: Callable[[], Result], explain: Callable[[], OutOfMemory]) -> Result:
    """What `run` gives. Raises the explanation where memory ran out.

    That error knows nothing of the one that was raised first, whose traceback holds what took the memory.
    """
    try:
        return run()
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
    raise explain()


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def memory_of(device: torch.device) -> str:
    """The device and its memory, for messages."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, which has {properties.total_memory / 2**30:.1f} GiB"
    if device.type == "cpu":
        return f"this machine, which has {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    return str(device)


def most_held(device: torch.device) -> int:
    """The most bytes that this process has held so far: of the GPU's memory, or of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
