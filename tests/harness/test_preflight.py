"""A node is left out for what it has otherwise than the process that planned a sweep: each such thing, said in words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.preflight import JOINED, Preflight, Unfit, clear_tokens, offered
from harness.trials import Sweep
from trainables.runtime import Runtime
from trainables.video.videos import DataSource

VERSIONS = {"python": "3.12.4", "torch": "2.9.1+cpu", "numpy": "2.3.0", "av": "16.0.1"}


@pytest.fixture
def sweep(make_sweep: Callable[..., Sweep], runtime: Callable[..., Runtime], tmp_path: Path) -> Sweep:
    """Of a copy of the embedded clips in a folder for each class, with its directory and its store."""
    embedded = make_sweep().datasets()["embedded"]
    for video in (*embedded.train, *embedded.validation, *embedded.test):
        path = tmp_path / "videos" / str(video.label) / video.path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, path)
    folder = (("folder", DataSource(tmp_path / "videos", None)),)
    return make_sweep({"data.pretraining": "folder", "data.downstream": "folder"}, runtime=runtime(sources=folder))


@pytest.fixture
def planned(sweep: Sweep) -> Iterator[dict[str, Any]]:
    with offered(sweep, VERSIONS) as arguments:
        yield arguments


def tokens(sweep: Sweep) -> list[Path]:
    return [path for directory in (sweep.directory, sweep.runtime.store) for path in directory.glob(".planned-*")]


def test_a_node_like_the_planner_s_runs_trials(planned: dict[str, Any]) -> None:
    """Also with what is built for another device, and with another patch of Python."""
    Preflight(**planned).check(VERSIONS | {"torch": "2.9.1+cu130", "python": "3.12.9"})
    assert len(planned["videos"]["folder"]) in range(16, 33)


@pytest.mark.parametrize(
    ("name", "version", "has"),
    [("torch", "2.8.0", "2.8.0"), ("python", "3.11.4", "3.11"), ("av", None, "not at all")],
)
def test_other_versions_of_what_computes(planned: dict[str, Any], name: str, version: str | None, has: str) -> None:
    here = {**VERSIONS, name: version}
    if version is None:
        del here[name]
    with pytest.raises(Unfit, match=f"^it has {name} {has}, and the sweep was planned with "):
        Preflight(**planned).check(here)  # type: ignore[arg-type]


def test_another_machine_s_arithmetic(planned: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(Unfit, match=r"^it has machine riscv64, and the sweep was planned with "):
        Preflight(**planned).check(VERSIONS)


@pytest.mark.parametrize("which", [0, 1])
def test_directories_that_are_not_shared(sweep: Sweep, planned: dict[str, Any], which: int) -> None:
    """Empty ones at the same path, or those of another sweep that runs."""
    path = tokens(sweep)[which]
    for other in (None, "of another"):
        path.unlink(missing_ok=True) if other is None else path.write_text(other)
        with pytest.raises(Unfit, match=f"^its {path.parent} is not that of the sweep: all nodes need to share "):
            Preflight(**planned).check(VERSIONS)


def test_videos_that_are_not_there_or_others(planned: dict[str, Any]) -> None:
    path = Path(list(planned["videos"]["folder"])[7])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Unfit, match=f"^data folder: {path} is another one there$"):
        Preflight(**planned).check(VERSIONS)
    path.unlink()
    with pytest.raises(Unfit, match=f"^data folder: {path} is not there$"):
        Preflight(**planned).check(VERSIONS)


def test_embedded_clips_are_made_by_each_node(make_sweep: Callable[..., Sweep]) -> None:
    with offered(make_sweep(), VERSIONS) as arguments:
        assert arguments["videos"] == {"embedded": {}}


def test_what_was_written_goes_and_what_a_killed_process_left_goes_with_the_next(sweep: Sweep) -> None:
    with offered(sweep, VERSIONS):
        assert len(tokens(sweep)) == 2
    assert tokens(sweep) == []
    left = offered(sweep, VERSIONS)
    left.__enter__()
    clear_tokens(replace(sweep, directory=sweep.directory.with_name("another")))
    assert len(tokens(sweep)) == 2, "another sweep with this store leaves them"
    with offered(sweep, VERSIONS, JOINED):
        clear_tokens(sweep)
        assert len(tokens(sweep)) == 2, "those of a process that has joined are in use"
    assert tokens(sweep) == []


def test_an_error_of_a_disk_that_may_pass_leaves_no_node_out(planned: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*_: Any, **__: Any) -> str:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "read_text", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        Preflight(**planned).check(VERSIONS)
