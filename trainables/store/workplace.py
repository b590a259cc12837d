"""Where one stage is being made: its training state while it runs, then its artifact.

Each claim has a directory of its own, `<store>/<kind>/.<key>.work/<token>/`. Who goes on with the work of another takes over
its newest whole state. Before anything is written the lease must still be one's own, and a published artifact is never
replaced: of two processes that believe they make a stage, one does, and the other gets its artifact.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from trainables.checksums import Mismatch, entry_of, json_text, sealed
from trainables.files import flush, replacing
from trainables.store.artifact import DONE, EXTENDED_FROM, RUNG, Artifact
from trainables.store.course import Course
from trainables.store.errors import LeaseLost, readable_errors
from trainables.store.leases import CLAIMED, Lease, work_path
from trainables.store.state import STATE, SavedState, save_state, saved_state

if TYPE_CHECKING:
    from trainables.store.directory import Store

CODE, CONTENT = "code", "content"
"""What is kept of a training state: the digest of the code that it is of, and the state."""
IN_THE_WAY = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


class Workplace:
    """The work on one artifact, by one claim; it counts the seconds. Without a lease nobody else may be at it.

    code: a digest of the code that does it, if set; a training state of other code is not gone on with. course: of a training
    that can go on from a shorter one. keeps_state: whether its own last state stays when it is published. extended_from: epochs
    of the shorter training that it goes on from.

    Whatever writes raises LeaseLost when another process has taken over, and StoreError.
    """

    def __init__(self, store: Store, kind: str, key: str, lease: Lease | None = None) -> None:
        self.store = store
        self.target = store.directory / kind / key
        self.lease = lease
        self.directory = work_path(self.target) / (lease.token if lease else uuid.uuid4().hex)
        self.code = ""
        self.course: Course | None = None
        self.keeps_state = True
        self.extended_from = 0
        self.kept: dict[str, dict[str, Any]] = {}
        self.superseded: list[Path] = []
        self.state_in: Path | None = None
        self.number = 0
        self.started = time.monotonic()
        self.before = 0.0

    @property
    def seconds(self) -> float:
        """Spent on the stage, by interrupted runs whose state was loaded too."""
        return self.before + time.monotonic() - self.started

    def begin(self) -> None:
        """Take the place: note since when, and remove what earlier versions of the program left there."""
        with self._fenced():
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / CLAIMED).touch()
            for path in work_path(self.target).iterdir():
                if not path.is_dir():
                    path.unlink()

    def end(self) -> None:
        """Leave the place: nothing stays of a claim that saved nothing."""
        with contextlib.suppress(OSError):
            if not (self.directory / STATE).exists():
                shutil.rmtree(self.directory, ignore_errors=True)
                work_path(self.target).rmdir()

    def load_state(self) -> dict[str, Any] | None:
        """The training state saved last, by this claim or an earlier one, or at the end of a shorter training of its course;
        None where there is none. One that is damaged is told and passed over.

        With it come the files that had been kept. Loaded without running any code from it.
        """
        with readable_errors(self.directory, "read"):
            claims = [path for path in _entries(work_path(self.target)) if path.is_dir()]
        self.superseded = [path for path in claims if path != self.directory]
        ended = {path: epochs for epochs, path in self.course.shorter(self.target.parent)} if self.course else {}
        for saved in self._furthest_first([*claims, *ended]):
            try:
                content = saved.load()
            except Mismatch as problem:
                self._pass_over(saved.directory, problem)
                continue
            if self.code in ("", content[CODE]):
                self._take_over(saved, ended.get(saved.directory, 0))
                state: dict[str, Any] = content[CONTENT]
                return state
        return None

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the training state atomically.

        state: nested dictionaries (keys: texts or integers), lists and tuples of tensors, numbers, texts, booleans and None.
        Raises TypeError for anything else.
        """
        number = self.number + 1
        with self._fenced():
            self.directory.mkdir(parents=True, exist_ok=True)
            content = {CODE: self.code, CONTENT: state}
            save_state(
                self.directory,
                content,
                number=number,
                seconds=self.seconds,
                kept=self.kept,
                extended_from=self.extended_from,
            )
            flush(self.directory)
        self.number, self.state_in = number, self.directory
        self._remove_older_states()

    def _remove_older_states(self) -> None:
        """What cannot be removed goes with the rest when the artifact is published."""
        with contextlib.suppress(OSError):
            for path in self.directory.glob("state-*.safetensors"):
                if path.name != f"state-{self.number}.safetensors":
                    path.unlink()
        while self.superseded:
            shutil.rmtree(self.superseded.pop(), ignore_errors=True)

    def keep(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write a further `<name>.safetensors` of the artifact to be, before it is finished; a later one replaces it."""
        with self._fenced():
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / f"{name}.safetensors"
            with replacing(path) as file:
                _save_tensors(tensors, Path(file.name))
            self.kept[path.name] = entry_of(path)

    def discard_state(self) -> None:
        """Forget all that was saved and kept, by earlier claims too."""
        shutil.rmtree(work_path(self.target), ignore_errors=True)
        self.kept.clear()

    def publish(
        self,
        *,
        settings: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[Mapping[str, Any]] = (),
        tensors: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Make the artifact visible in one step and drop the training state. One that another process published stays.

        tensors: contents of safetensors files by name, beside those that `keep` wrote. files: further JSON files by name.
        """
        building = self.directory / f"artifact-{uuid.uuid4().hex[:8]}"
        try:
            with self._fenced():
                building.mkdir(parents=True)
                documents = {"settings.json": settings, **(files or {})}
                for name, content in documents.items():
                    (building / name).write_text(json_text(content), encoding="utf-8")
                (building / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history), encoding="utf-8")
                for name, content in (tensors or {}).items():
                    _save_tensors(content, building / f"{name}.safetensors")
                listed = {path.name: entry_of(path) for path in building.iterdir()}
                for name, entry in self.kept.items():
                    _place(self.directory / name, building / name)
                    listed[name] = entry
                done = {"metrics": dict(metrics), "seconds": self.seconds, "files": listed, **self._of_course()}
                (building / DONE).write_text(sealed(done), encoding="utf-8")
                for path in (*building.iterdir(), building):
                    flush(path)
                self._require_lease()
                self._put_in_place(building)
        except LeaseLost:
            if (winner := self.store.find_again(self.target)) is None:
                raise
            artifact = winner
        else:
            shutil.rmtree(building, ignore_errors=True)  # it is still here where another's is in its place
            artifact = Artifact(self.target)
            self._leave_state()
        finally:
            shutil.rmtree(building, ignore_errors=True)
        self.discard_state()
        return artifact

    def _of_course(self) -> dict[str, Any]:
        """What the artifact says of it: where its state is, and which epochs it has from a shorter training."""
        place = self._rung
        extended = {EXTENDED_FROM: self.extended_from} if self.extended_from else {}
        return extended | ({RUNG: str(place.relative_to(self.target.parent))} if place else {})

    @property
    def _rung(self) -> Path | None:
        """Where the state stays that more epochs go on from."""
        return self.course.place(self.target.parent) if self.course and self.keeps_state and self.state_in else None

    def _leave_state(self) -> None:
        """Move the state to its course; one that is there already, of the same training, makes room. What hinders that costs
        nothing but time, should more epochs be asked for."""
        place, state = self._rung, self.state_in
        if place is None or state is None:
            return
        with contextlib.suppress(OSError):
            place.parent.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                place.rename(work_path(self.target) / f"before-{uuid.uuid4().hex[:8]}")
            state.rename(place)
            flush(place.parent)

    def _put_in_place(self, building: Path) -> None:
        """One rename. A whole artifact that is there already stays; what is there and damaged is set aside."""
        try:
            building.rename(self.target)
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
            if self.store.settled(self.target) is None:
                building.rename(self.target)
        flush(self.target.parent)

    def _furthest_first(self, claims: Sequence[Path]) -> list[SavedState]:
        """Those on which most time was spent: how often one was saved says nothing of a shorter training's."""
        states = []
        for directory in claims:
            try:
                states.append(saved_state(directory))
            except Mismatch as problem:
                self._pass_over(directory, problem)
        return sorted(filter(None, states), key=lambda state: (state.seconds, state.number), reverse=True)

    def _pass_over(self, directory: Path, problem: Mismatch) -> None:
        self.store.warn(f"a training state of {self._name} {problem}, in {directory}: it is not used")

    def _take_over(self, saved: SavedState, ended: int) -> None:
        """Go on from a state: what had been kept until then, the number, and the seconds spent.

        ended: the epochs of the shorter training at whose end it was saved; 0: it is of this one.
        """
        names: Mapping[str, str] = {name: name for name in saved.kept}
        if ended and self.course is not None:
            names = self.course.kept(ended) or {}
        with self._fenced():
            self.directory.mkdir(parents=True, exist_ok=True)
            if saved.directory != self.directory:
                for name, there in names.items():
                    _place(saved.directory / there, self.directory / name)
        self.kept = {name: saved.kept[there] for name, there in names.items()}
        self.number = saved.number
        self.before = saved.seconds
        self.extended_from = ended or saved.extended_from
        self.state_in = None if ended else saved.directory

    @property
    def _name(self) -> str:
        return f"{self.target.parent.name}/{self.target.name}"

    @contextlib.contextmanager
    def _fenced(self) -> Iterator[None]:
        """What is written inside is written by the holder of the lease; whoever lost it is told that, not what failed then."""
        self._require_lease()
        with readable_errors(self.target.parent):
            try:
                yield
            except (OSError, SafetensorError):
                self._require_lease()
                raise

    def _require_lease(self) -> None:
        if self.lease is not None and not self.lease.is_held():
            raise LeaseLost(
                f"{self._name} was taken over by {self.store.holder(*self._name.split('/')) or 'another process'}, "
                "as this one was stopped or cut off from the store for too long"
            )


def _save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def _place(source: Path, target: Path) -> None:
    """The same file at a second place: a further name of it, or a copy on file systems that know none."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
