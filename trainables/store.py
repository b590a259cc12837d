"""Artifacts of stages, addressed by content: `<store>/<kind>/<key>/`.

An artifact is a directory with `settings.json` (what made it), `metrics.jsonl` (one line per epoch), the stage's own files
(weights or features as safetensors) and `done.json`. It is built elsewhere, flushed to the disk and renamed, so that after a
crash at any moment the store holds either the whole artifact or none. Until it is published, the training state from which an
unfinished stage resumes, and what is being built, lie in `<store>/<kind>/.<key>.work/`.

A stage runs once however many trials need it: `Store.claim` gives the right to compute it to one process and lets the others
wait. The right is a lease with a heartbeat (filelock's SoftFileLease): the lease of a process that died on this host is taken
over at once, that of a silent host after `LEASE_SECONDS`.

    python -m trainables.store list --store runs/store
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import SoftFileLease, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trainables.files import replacing

LEASE_SECONDS = 60.0
POLL_SECONDS = 0.5


class StoreError(OSError):
    """The store cannot be read or written (missing rights, full disk); the message says where."""


@dataclass(frozen=True)
class Artifact:
    """A finished stage on disk."""

    directory: Path

    @property
    def done(self) -> dict[str, Any]:
        """The content of done.json: `metrics` (last values) and `seconds` (spent on the stage, interruptions included)."""
        content: dict[str, Any] = json.loads((self.directory / "done.json").read_text(encoding="utf-8"))
        return content

    def tensors(self, name: str = "weights") -> dict[str, torch.Tensor]:
        """The tensors of `<name>.safetensors`, on the CPU."""
        return load_file(self.directory / f"{name}.safetensors")

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, one per epoch."""
        lines = (self.directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


class Store:
    """Artifacts below one directory, shared by any number of processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def find(self, kind: str, key: str) -> Artifact | None:
        """The artifact of a stage, or None when it has not been published."""
        directory = self.directory / kind / key
        return Artifact(directory) if (directory / "done.json").exists() else None

    @contextlib.contextmanager
    def claim(self, kind: str, key: str) -> Iterator[Artifact | Workplace]:
        """The artifact, or the exclusive right to make it; waits while another process is making it."""
        parent = self.directory / kind
        with readable_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
        lease = SoftFileLease(parent / f".{key}.lease", lease_duration=LEASE_SECONDS, poll_interval=POLL_SECONDS / 5)
        while True:
            if (artifact := self.find(kind, key)) is not None:
                yield artifact
                return
            try:
                with readable_errors(parent):
                    lease.acquire(timeout=POLL_SECONDS)
            except Timeout:
                continue
            try:
                if (artifact := self.find(kind, key)) is not None:
                    yield artifact
                else:
                    yield Workplace(self, kind, key)
            finally:
                lease.release()
            return

    def check_writable(self) -> None:
        """Raises StoreError when nothing can be written below the store."""
        with readable_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            probe = self.directory / f".writable-{uuid.uuid4().hex}"
            probe.write_bytes(b"0" * 4096)
            probe.unlink()


class Workplace:
    """Where one stage is being made: its training state while it runs, then its artifact. It counts the seconds."""

    def __init__(self, store: Store, kind: str, key: str) -> None:
        self.target = store.directory / kind / key
        self.state_directory = self.target.with_name(f".{key}.work")
        self.started = time.monotonic()
        self.before = 0.0

    @property
    def seconds(self) -> float:
        """Spent on the stage, by interrupted runs whose state was loaded too."""
        return self.before + time.monotonic() - self.started

    def load_state(self) -> dict[str, Any] | None:
        """The training state saved last, or None. Loaded without running any code from the file."""
        path = self.state_directory / "state.pt"
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.before = state.pop("seconds")
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the training state atomically."""
        with readable_errors(self.state_directory):
            self.state_directory.mkdir(parents=True, exist_ok=True)
            with replacing(self.state_directory / "state.pt") as file:
                torch.save({**state, "seconds": self.seconds}, file)

    def keep(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write a further `<name>.safetensors` of the artifact to be, before it is finished; a later one replaces it."""
        with readable_errors(self.state_directory):
            self.state_directory.mkdir(parents=True, exist_ok=True)
            with replacing(self.state_directory / f"{name}.safetensors") as file:
                _save_tensors(tensors, Path(file.name))

    def discard_state(self) -> None:
        shutil.rmtree(self.state_directory, ignore_errors=True)

    def publish(
        self,
        *,
        settings: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[Mapping[str, Any]] = (),
        tensors: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Make the artifact visible in one step and drop the training state.

        tensors: contents of safetensors files by name, beside those that `keep` wrote. files: further JSON files by name.
        """
        building = self.state_directory / f"artifact-{uuid.uuid4().hex[:8]}"
        with readable_errors(self.target.parent):
            try:
                building.mkdir(parents=True)
                write_json(building / "settings.json", settings)
                (building / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history), "utf-8")
                for name, content in (files or {}).items():
                    write_json(building / name, content)
                for name, content in (tensors or {}).items():
                    _save_tensors(content, building / f"{name}.safetensors")
                for path in self.state_directory.glob("*.safetensors"):
                    os.link(path, building / path.name)
                write_json(building / "done.json", {"metrics": dict(metrics), "seconds": self.seconds})
                for path in building.iterdir():
                    flush(path)
                building.rename(self.target)
                flush(self.target.parent)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
        self.discard_state()
        return Artifact(self.target)


def _save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def flush(path: Path) -> None:
    """Force a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def readable_errors(where: Path) -> Iterator[None]:
    """Turn an operating-system error below into a StoreError that names the place."""
    try:
        yield
    except Timeout:
        raise
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"cannot write to the store at {where}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise StoreError(f"cannot write to the store at {where}: {error}") from error
    except RuntimeError as error:  # torch reports a failed write this way
        if "PytorchStreamWriter" not in str(error) and "unexpected pos" not in str(error):
            raise
        raise StoreError(f"cannot write to the store at {where}: {error}") from error


def artifacts(store: Path) -> Iterator[tuple[str, Artifact]]:
    """(kind, artifact) of everything published in a store, in order of kind and key."""
    for path in sorted(Path(store).glob("*/*/done.json")):
        yield path.parent.parent.name, Artifact(path.parent)


def _command(argv: list[str] | None = None, echo: Callable[[str], None] = print) -> None:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m trainables.store", description="What a store holds.")
    parser.add_argument("action", choices=["list"], help="one line per artifact: kind, key, size, seconds spent")
    parser.add_argument("--store", type=Path, default=Path("runs/store"))
    arguments = parser.parse_args(argv)
    if not arguments.store.is_dir():
        parser.error(f"there is no store at {arguments.store}; sweeps keep theirs at RUNS_DIR/store, or where --store says")
    for kind, artifact in artifacts(arguments.store):
        size = sum(path.stat().st_size for path in artifact.directory.iterdir())
        echo(f"{kind:22} {artifact.directory.name}  {size:>12,} bytes  {artifact.done['seconds']:>9.1f} s")


if __name__ == "__main__":
    _command()
