"""Files of weights from anywhere: tensors are read, and nothing in a file is ever run.

`.safetensors`, or what torch.save wrote. What auxSKD's release saves beside its tensors, an argparse.Namespace, is a plain
container and read as one; any other class makes a file refused.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

HARMLESS: list[Any] = [argparse.Namespace]
OURS = "auxgraph"
"""In the header of a file of ours what is known of its weights, as JSON: `settings` by dotted name, `classes`."""
EXPECTED = "expected .safetensors, or tensors that torch.save wrote"


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds: tensors by name, or, of torch.save, anything that has them somewhere in it. about: of a file of ours,
    or an artifact, what is known of its weights."""

    content: Any
    about: Mapping[str, Any] = field(default_factory=dict)


def read_weights(path: Path) -> WeightsFile:
    """Raises ValueError naming the file where it cannot be read, is cut short, or holds more than tensors and plain values."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                written = (file.metadata() or {}).get(OURS)
                about = dict(json.loads(written)) if written else _settings_beside(path)
                return WeightsFile({name: file.get_tensor(name) for name in file.keys()}, about)  # noqa: SIM118
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whichever way its bytes happen to be read
        raise ValueError(f"{path}: not readable as a file of weights ({_reason(error)}); {EXPECTED}") from error
    return WeightsFile(content)


def _reason(error: Exception) -> str:
    found = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if found:
        return f"it would run code, {found[1]}, which is refused"
    return f"{type(error).__name__}: damaged, cut short, or something else"


def _settings_beside(path: Path) -> dict[str, Any]:
    """Of an artifact, whose settings lie beside its weights."""
    settings = path.with_name("settings.json")
    is_artifact = path.with_name("done.json").is_file() and settings.is_file()
    return {"settings": dict(json.loads(settings.read_bytes()))} if is_artifact else {}


def state_of(path: Path, content: Any) -> tuple[dict[str, Tensor], frozenset[str]]:
    """Tensors by name, and what else lies beside them in the file. Raises ValueError where there are none."""
    if _is_state(content):
        return dict(content), frozenset()
    if isinstance(content, Mapping):
        for name in STATES:
            if _is_state(content.get(name)):
                return dict(content[name]), frozenset(map(str, content.keys() - {name}))
    raise ValueError(
        f"{path}: not a state dict; expected tensors by name, as state_dict() gives, alone or under one of {', '.join(STATES)}"
    )


STATES = ("state_dict", "model", "model_state", "model_state_dict", "net", "network")
"""Under which of a file's entries states are looked for."""


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )
