"""Saving a training's states: on a CPU at once; of what lies on a GPU copies go to disk by a thread while training goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from trainables.store import Workplace


def is_aside(device: torch.device) -> bool:
    """Whether states of a training on the device are written by a thread."""
    return device.type == "cuda"


class Saving(contextlib.AbstractContextManager["Saving"]):
    """Saves states at a workplace; None: nowhere. One state is written at a time, and what is read from the disk at any time is
    a whole one. At the end of the context the last one is written, or what hindered that raised.

    Whatever saves or waits raises what the workplace does, of this state or of the one before.
    """

    def __init__(self, workplace: Workplace | None, device: torch.device) -> None:
        self.workplace = workplace
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="states") if is_aside(device) else None
        self.writing: Future[None] | None = None

    def save(self, state: Mapping[str, Any]) -> None:
        """Save the state as it is now, whatever happens to its tensors after that."""
        if self.workplace is None:
            return
        if self.thread is None:
            self.workplace.save_state(state)
            return
        self.wait()
        copies = _Copies()
        self.writing = self.thread.submit(self._write, copies, copies.of(state))

    def check(self) -> None:
        """Raise what has hindered a state from being written, if anything has."""
        if self.writing is not None and self.writing.done():
            self.wait()

    def wait(self) -> None:
        """Return when nothing is being written."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()

    def __exit__(self, kind: object, *error: object) -> None:
        """Where the training has failed that is what is raised."""
        with contextlib.suppress(Exception) if kind is not None else contextlib.nullcontext():
            self.wait()
        if self.thread is not None:
            self.thread.shutdown()

    def _write(self, copies: _Copies, state: Mapping[str, Any]) -> None:
        assert self.workplace is not None
        copies.arrive()
        self.workplace.save_state(state)


class _Copies:
    """Copies of values on the host; tensors that are one stay one. From a GPU they are under way until `arrive` returns, and it
    computes what it is given after them later."""

    def __init__(self) -> None:
        self.made: dict[tuple[Any, ...], Tensor] = {}
        self.under_way: dict[torch.device, torch.cuda.Event] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._of_tensor(value.detach())
        if isinstance(value, Mapping):
            return {name: self.of(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.of, value))
        return value

    def _of_tensor(self, tensor: Tensor) -> Tensor:
        same = (tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride())
        if same not in self.made:
            self.made[same] = tensor.to("cpu", non_blocking=True, copy=True)
            if tensor.device.type == "cuda":
                self.under_way[tensor.device] = torch.cuda.current_stream(tensor.device).record_event()
        return self.made[same]

    def arrive(self) -> None:
        for event in self.under_way.values():
            event.synchronize()
