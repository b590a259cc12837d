"""The next batch is made ready while the one before it is computed with: read by a thread, copied on a stream of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from trainables.video.dataset import Batch, on_device


def read_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, of which a thread reads one ahead. What it raises is raised where its batch would come; whoever stops
    asking waits for the one that is being read."""
    with ThreadPoolExecutor(1, thread_name_prefix="clips") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def brought(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on the device. To a GPU each is copied while it still computes with the one before."""
    if device.type != "cuda":
        yield from (on_device(batch, device) for batch in batches)
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    computing = torch.cuda.current_stream(device)
    for batch in batches:
        with torch.cuda.stream(copying):
            copied = on_device(batch, device)
        computing.wait_stream(copying)
        for value in copied.values():
            if value.device.type == "cuda":
                value.record_stream(computing)
        yield copied
