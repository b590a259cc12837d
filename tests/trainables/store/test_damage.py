"""Damaged artifacts: every change of any file is noticed, named and set aside; artifacts without a list of files stay valid."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables import checksums
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.store import Artifact, DamagedArtifact, Store, Workplace, artifacts

KIND, KEY = "finetune", "0123456789abcdef"
FILES = ["confusion.json", "done.json", "metrics.jsonl", "settings.json", "weights-1.safetensors", "weights.safetensors"]


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_noticed_and_its_file_named(store: Store, publish: Callable[..., Artifact], name: str) -> None:
    """100 places in each of the six files."""
    whole, chance = publish(store), random.Random(name)
    assert sorted(path.name for path in whole.directory.iterdir()) == FILES
    for number in range(100):
        copy = Artifact(store.directory / KIND / f"copy{number}")
        shutil.copytree(whole.directory, copy.directory)
        flip(copy.directory / name, chance)
        with pytest.raises(DamagedArtifact, match=f"copy{number} is damaged: {name} "):
            copy.verify()
    whole.verify()


def test_what_is_opened_is_checked_before(store: Store, publish: Callable[..., Artifact]) -> None:
    """The bit is that of a weight and of a digit: both files would be read without an error."""
    artifact = publish(store)
    weights, history = artifact.directory / "weights.safetensors", artifact.directory / "metrics.jsonl"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    history.write_text(history.read_text().replace("0.25", "0.35"))
    with pytest.raises(DamagedArtifact, match=r"weights\.safetensors has other content"):
        artifact.tensors()
    with pytest.raises(DamagedArtifact, match=r"metrics\.jsonl has other content"):
        artifact.history()
    assert artifact.tensors("weights-1")["w"].sum() == 8


def test_a_file_is_read_for_its_hash_once_per_process(
    store: Store, publish: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, read = publish(store), []
    entry_of = checksums.entry_of
    monkeypatch.setattr(checksums, "entry_of", lambda path: read.append(path.name) or entry_of(path))
    for _ in range(3):
        artifact.verify()
        artifact.tensors()
    assert sorted(read) == sorted(set(FILES) - {"done.json"})


def remove_done(directory: Path) -> None:
    (directory / "done.json").unlink()


def cut_weights(directory: Path) -> None:
    path = directory / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def remove_weights(directory: Path) -> None:
    (directory / "weights.safetensors").unlink()


def empty_done(directory: Path) -> None:
    (directory / "done.json").write_bytes(b"")


def a_digit(directory: Path) -> None:
    path = directory / "done.json"
    path.write_text(path.read_text().replace("0.25", "0.75"))


def a_file_instead(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.write_text("in the way")


@pytest.mark.parametrize("harm", [remove_done, cut_weights, remove_weights, empty_done, a_digit, a_file_instead])
def test_a_damaged_artifact_is_set_aside_by_the_next_claim_and_made_again(
    store: Store, publish: Callable[..., Artifact], warned: list[str], harm: Callable[[Path], None]
) -> None:
    harm(publish(store).directory)
    assert store.find(KIND, KEY) is None
    with store.claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        publish(store, workplace=claimed).verify()
    assert sorted(path.name for path in (store.directory / KIND).iterdir()) == [f".damaged-{KEY}-1", KEY]
    assert len(warned) == 1 and f"{KIND}/{KEY} is damaged: " in warned[0] and f".damaged-{KEY}-1" in warned[0]
    assert [artifact.key for _, artifact in artifacts(store.directory)] == [KEY]


def test_what_is_whole_is_not_set_aside(store: Store, publish: Callable[..., Artifact], warned: list[str]) -> None:
    artifact = publish(store)
    store.set_aside(artifact)
    artifact.verify()
    cut_weights(artifact.directory)
    store.set_aside(artifact)
    store.set_aside(artifact)
    assert [path.name for path in (store.directory / KIND).iterdir()] == [f".damaged-{KEY}-1"]
    assert len(warned) == 1


def test_artifacts_that_list_no_files_are_valid_while_they_are_readable(store: Store, publish: Callable[..., Artifact]) -> None:
    artifact = publish(store)
    path = artifact.directory / "done.json"
    done = json.loads(path.read_text())
    path.write_text(json.dumps({"metrics": done["metrics"], "seconds": 1.5}))
    assert store.find(KIND, KEY) == artifact
    artifact.verify()
    assert artifact.done["seconds"] == 1.5 and len(artifact.history()) == 2 and artifact.tensors().keys() == {"layer.weight"}
    cut_weights(artifact.directory)
    with pytest.raises(DamagedArtifact, match=r"weights\.safetensors is not readable"):
        artifact.verify()


@pytest.mark.parametrize("stage", ["pretext", "finetune"])
def test_an_experiment_makes_a_damaged_artifact_again_to_the_same_bytes(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], contents: Callable[..., dict[str, bytes]], stage: str
) -> None:
    """The weights are harmed in a way that sizes do not tell; what needs them has to run again, and they are made first."""
    place = runtime()
    experiment = Experiment(tiny, 0)
    first = run_experiment(experiment, place, lambda line: None)
    expected = contents(place.store, first)
    for path in sorted(place.store.glob(f"{stage}/[!.]*/*")):
        if path.suffix in (".safetensors", ".jsonl"):
            flip(path, random.Random(3))
    last = place.store / "evaluate" / first.stages["evaluate"]
    shutil.rmtree(last)
    if stage == "pretext":
        shutil.rmtree(place.store / "finetune" / first.stages["finetune"])
    notes: list[str] = []
    again = run_experiment(experiment, place, lambda line: notes.append(line.get("note", "")))
    assert re.search(f"{stage}/.* is damaged", "\n".join(notes))
    assert contents(place.store, again) == expected
    assert again.metrics == first.metrics


def test_damage_in_what_says_which_code_made_it_is_noticed(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], contents: Callable[..., dict[str, bytes]]
) -> None:
    """It is read of every artifact that is found, and its digest goes into the record."""
    place = runtime()
    experiment = Experiment(tiny, 0)
    first = run_experiment(experiment, place, lambda line: None)
    expected = contents(place.store, first)
    path = place.store / "pretext" / first.stages["pretext"] / "code.json"
    path.write_bytes(bytes(path.stat().st_size))
    notes: list[str] = []
    again = run_experiment(experiment, place, lambda line: notes.append(line.get("note", "")))
    assert re.search("pretext/.* is damaged: code.json has other content", "\n".join(notes))
    assert contents(place.store, again) == expected
    assert {name: made.code for name, made in again.made.items()} == {name: made.code for name, made in first.made.items()}
