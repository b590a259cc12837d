"""Training states: nested dictionaries, lists and tuples of tensors, numbers, texts and None as JSON and safetensors.

A state is a sealed `state.json`, which says how values are nested and lists the files that belong to it with their hashes, and
the file with its tensors. It is replaced by replacing `state.json`. Nothing in it can run code.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trainables.checksums import Mismatch, check_content, entry_of, sealed, unsealed
from trainables.files import flush, write_atomically
from trainables.store.errors import readable_errors

STATE = "state.json"
FORMAT = 1


@dataclass(frozen=True)
class SavedState:
    """A state on disk, of which `state.json` was read.

    number: how often the stage's state had been saved. files: name -> `bytes` and `sha256` of what belongs to it, the tensors
    among them. extended_from: epochs of the shorter training that it goes on from; 0: it began with the first.
    """

    directory: Path
    number: int
    seconds: float
    structure: Any
    tensors: str
    files: dict[str, dict[str, Any]]
    extended_from: int = 0

    @property
    def kept(self) -> dict[str, dict[str, Any]]:
        """The files but for the tensors."""
        return {name: entry for name, entry in self.files.items() if name != self.tensors}

    def load(self) -> dict[str, Any]:
        """What was saved, in memory of its own. Raises Mismatch where it is damaged, and StoreError."""
        with readable_errors(self.directory, "read"):
            try:
                for name, entry in self.files.items():
                    check_content(self.directory / name, entry)
                tensors = {name: value.clone() for name, value in load_file(self.directory / self.tensors).items()}
                state: dict[str, Any] = _restored(self.structure, tensors)
                return state
            except FileNotFoundError as error:
                raise Mismatch(f"lacks {error.filename}") from None
            except (SafetensorError, LookupError, TypeError, ValueError) as error:
                raise Mismatch(f"is not readable ({error})") from error


def saved_state(directory: Path) -> SavedState | None:
    """The state in a directory, or None where there is none. Raises Mismatch where it is damaged or of another kind."""
    with readable_errors(directory, "read"):
        try:
            content = unsealed((directory / STATE).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
    try:
        if content.pop("format") == FORMAT:
            return SavedState(directory, **content)
    except (KeyError, TypeError):
        pass
    raise Mismatch("is of another version")


def save_state(
    directory: Path,
    state: Mapping[str, Any],
    *,
    number: int,
    seconds: float,
    kept: Mapping[str, dict[str, Any]],
    extended_from: int = 0,
) -> None:
    """Write a state. Raises OSError, SafetensorError, and TypeError for a value that cannot be saved, naming it."""
    tensors: dict[str, torch.Tensor] = {}
    structure = _Flattening(tensors).flat(dict(state), "")
    name = f"state-{number}.safetensors"
    save_file(tensors, directory / name)
    flush(directory / name)
    content = {
        "format": FORMAT,
        "number": number,
        "seconds": seconds,
        "structure": structure,
        "tensors": name,
        "files": {name: entry_of(directory / name), **kept},
        "extended_from": extended_from,
    }
    write_atomically(directory / STATE, sealed(content))


class _Flattening:
    """Values as JSON, their tensors aside: lists are lists, everything else that nests is an object of one key, its type."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self.names: dict[tuple[Any, ...], str] = {}
        self.storages: set[int] = set()

    def flat(self, value: Any, name: str) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, torch.Tensor):
            return {"tensor": self.named(value.detach(), name), "order": _order(value)}
        if type(value) in (list, tuple):
            parts = [self.flat(part, f"{name}.{number}") for number, part in enumerate(value)]
            return parts if type(value) is list else {"tuple": parts}
        if isinstance(value, dict):
            if unfit := [key for key in value if type(key) not in (int, str)]:
                raise TypeError(f"a training state cannot have the key {unfit[0]!r} (in {name or 'its top'})")
            return {"dict": [[key, self.flat(part, f"{name}.{key}" if name else str(key))] for key, part in value.items()]}
        raise TypeError(f"a training state cannot hold {name}, which is of type {type(value).__name__}")

    def named(self, tensor: torch.Tensor, wanted: str) -> str:
        """Under which name the tensor is written; one that was written already is not written again."""
        same = (tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and same in self.names:
            return self.names[same]
        names = (f"{wanted}{suffix}" for suffix in itertools.chain([""], map("~{}".format, itertools.count(2))))
        name = self.names[same] = next(name for name in names if name not in self.tensors)
        storage = tensor.untyped_storage().data_ptr()
        dense = tensor.cpu().permute(_order(tensor)).contiguous()
        self.tensors[name] = dense.clone() if storage in self.storages else dense
        self.storages.add(storage)
        return name


def _order(tensor: torch.Tensor) -> list[int]:
    """The dimensions as they lie in memory, the outermost first."""
    return sorted(range(tensor.dim()), key=lambda dimension: -tensor.stride()[dimension])


def _restored(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_restored(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        order: list[int] = value["order"]
        return tensors[value["tensor"]].permute([order.index(dimension) for dimension in range(len(order))])
    if "tuple" in value:
        return tuple(_restored(value["tuple"], tensors))
    return {key: _restored(part, tensors) for key, part in value["dict"]}
