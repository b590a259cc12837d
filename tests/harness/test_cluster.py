"""A sweep's cluster: what is said where there is none, or one with another token. Without Ray running."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import AuthenticationError

from harness import cluster
from harness.cluster import HELPERS, Cluster
from harness.trials import SweepError

REFUSAL = b"[2026-11-30 08:37:57 W 1 1] gcs_client.cc:210: Failed: Unauthenticated: InvalidAuthToken: missing or incorrect\n"


@pytest.fixture
def connect(tmp_path: Path) -> Callable[[str], None]:
    return lambda address: Cluster(address).connect(cpus=1, gpus_per_trial=0, scratch=tmp_path)


@pytest.mark.parametrize("address", ["nonsense", "", "ray://127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:6379", "closed"])
def test_an_address_without_a_cluster_is_refused_at_once(address: str, connect: Callable[[str], None]) -> None:
    """Where nothing listens Ray itself would try for minutes."""
    if address == "closed":
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{bound.getsockname()[1]}"
    with pytest.raises(SweepError, match=f"--address {address}: no Ray cluster there: .") as error:
        connect(address)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("mode", "has"), [(None, "shows none"), ("token", "has another one")])
def test_a_cluster_with_another_token_is_explained_in_one_line(
    mode: str | None,
    has: str,
    connect: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Ray writes a line a second to standard error, and then raises an error that says nothing of it."""

    def init(**options: Any) -> None:
        for _ in range(3):
            os.write(2, REFUSAL)
        os.write(2, b"of something else\n")
        raise ConnectionError("Failed to connect to Ray cluster at 192.0.2.2:6379")

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SweepError, match=f"^--address auto: this Ray cluster wants a token, and this command {has}: set "):
        connect("auto")
    assert capfd.readouterr().err == "of something else\n"


def test_a_token_that_is_to_be_used_and_is_nowhere_is_explained(
    connect: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: Any) -> None:
        raise AuthenticationError("Token authentication is enabled but no authentication token was found")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SweepError, match="and this command shows none: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH"):
        connect("auto")


def test_a_cluster_that_is_started_has_a_token_for_this_user_s_eyes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not one of the user's, who may have set it for another cluster."""
    seen = {}

    def init(**options: Any) -> None:
        seen.update(options, path=os.environ["RAY_AUTH_TOKEN_PATH"], token=os.environ.get("RAY_AUTH_TOKEN"))

    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere")
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(cluster, "_doors", dict)
    Cluster(None).connect(1, 0, tmp_path)
    assert (seen["address"], seen["token"]) == ("local", None)
    assert Path(seen["path"]).parent == tmp_path
    assert len(Path(seen["path"]).read_text()) == 64
    assert Path(seen["path"]).stat().st_mode & 0o777 == 0o600


def test_none_of_ray_s_helpers_is_started_and_whoever_starts_ray_later_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed Ray has them under these names."""
    before = [getattr(owner, name) for owner, name, _ in HELPERS]
    gave: list[Any] = []
    monkeypatch.setattr(ray, "init", lambda **_: gave.extend(getattr(owner, name)("anything") for owner, name, _ in HELPERS))
    monkeypatch.setattr(cluster, "_doors", dict)
    Cluster(None).connect(1, 0, tmp_path)
    assert gave == [None, None, ("", None)]
    assert [getattr(owner, name) for owner, name, _ in HELPERS] == before
