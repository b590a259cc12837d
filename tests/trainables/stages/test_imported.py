"""The recipe `imported`: what it measures of a file against what the trial that made the file measured, keys, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainables.data import open_data
from trainables.models import make_encoder
from trainables.pipeline import Experiment, Result, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, SettingsError, with_values
from trainables.stages.kind import StartError

Make = Callable[..., Runtime]


def ignore(line: dict[str, Any]) -> None:
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def made(tiny: ExperimentSettings, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A trial of recipe `pretext`: its store, and what it gave."""
    store = tmp_path_factory.mktemp("made") / "store"
    settings = with_values(tiny, {"recipe": "pretext"})
    return store, run_experiment(Experiment(settings, 0), Runtime(store, clips, device="cpu"), ignore)


def weights_of(made: tuple[Path, Result], stage: str) -> Path:
    return made[0] / stage / made[1].stages[stage] / "weights.safetensors"


def from_file(tiny: ExperimentSettings, *measures: str, **values: Any) -> ExperimentSettings:
    return with_values(tiny, {"recipe": "imported", "evaluation.measures": list(measures), **values})


def test_a_pretrained_network_measures_the_same_as_a_file(
    made: tuple[Path, Result], tiny: ExperimentSettings, runtime: Make
) -> None:
    """Finetuned, under a linear probe and in retrieval, to the bit: all that comes after it is as after its pretraining."""
    place = runtime(weights=(("r2plus1d", weights_of(made, "pretext")),))
    again = run_experiment(Experiment(from_file(tiny, "finetune", "linear_probe", "retrieval"), 0), place, ignore)
    own = {name: value for name, value in made[1].metrics.items() if not name.startswith("pretext/")}
    assert again.metrics == own
    assert len(own) > 20


def test_a_finetuned_network_as_it_is_says_the_same_of_every_test_video(
    made: tuple[Path, Result], tiny: ExperimentSettings, runtime: Make, tmp_path: Path
) -> None:
    """Metrics to the bit, and scores; also where torch.save wrote the file, and names are those of the network alone."""
    weights = load_file(weights_of(made, "finetune"))
    bare = {name.replace("network.", "").replace("fc.1.", "fc."): value for name, value in weights.items()}
    torch.save({"state_dict": {f"module.{name}": value for name, value in bare.items()}}, tmp_path / "wrapped.pth")
    save_file(bare, tmp_path / "bare.safetensors")
    for number, path in enumerate((weights_of(made, "finetune"), tmp_path / "bare.safetensors")):
        place = runtime(f"store{number}", weights=(("r2plus1d", path),))
        again = run_experiment(Experiment(from_file(tiny, "as_given"), 0), place, ignore)
        own = {name: value for name, value in made[1].metrics.items() if name in again.metrics}
        assert again.metrics == own
        assert {"test/top1", "test/map", "validation/top1"} <= own.keys()
        said = [store / "evaluate" / of.stages["evaluate"] / "videos.json" for store, of in (made, (place.store, again))]
        assert said[0].read_bytes() == said[1].read_bytes()


def test_keys_follow_what_a_file_holds_not_where_it_lies(
    made: tuple[Path, Result], tiny: ExperimentSettings, runtime: Make, tmp_path: Path
) -> None:
    data = open_data(tiny.data, runtime())
    settings = from_file(tiny, "finetune", "linear_probe")

    def keys(weights: dict[str, str], **values: Any) -> dict[str, str]:
        stages = resolve(Experiment(with_values(settings, values), 0), data, weights)
        return {stage.name: stage.key for stage in stages}

    first, second = keys({"r2plus1d": "a"}), keys({"r2plus1d": "b"})
    assert first.keys() == {"imported", "finetune", "evaluate", "features", "linear_probe"}
    assert all(first[name] != second[name] for name in first)
    assert keys({"r2plus1d": "a", "r3d": "c"}) == first
    assert keys({"r2plus1d": "a"}, **{"video.pixels": "rgb_unit"})["imported"] == first["imported"]
    without = {stage.key for stage in resolve(Experiment(tiny, 0), data)}
    assert without == {stage.key for stage in resolve(Experiment(tiny, 0), data, {"r2plus1d": "a"})}
    path = tmp_path / "a.safetensors"
    path.write_bytes(weights_of(made, "pretext").read_bytes())
    places = [runtime(weights=(("r2plus1d", one),)) for one in (path, weights_of(made, "pretext"))]
    assert places[0].weights_fingerprints() == places[1].weights_fingerprints()


def test_what_cannot_be_started_from_is_told_before_anything_runs(
    made: tuple[Path, Result], tiny: ExperimentSettings, runtime: Make, tmp_path: Path
) -> None:
    """No file; a file of another form, with the first key and what fits; a file of no network."""
    settings = from_file(tiny, "finetune")
    with pytest.raises(StartError, match=r"recipe = imported: give the weights with --weights r2plus1d=FILE"):
        run_experiment(Experiment(settings, 0), runtime(), ignore)
    place = runtime(weights=(("r2plus1d", weights_of(made, "pretext")),))
    says = (
        r"weights of another network than r2plus1d, backbone\.depth = 18, backbone\.width = 4: "
        r"'layer1\.1\.conv1\.0\.0\.weight' is missing, expected .* --set backbone\.depth=10"
    )
    with pytest.raises(StartError, match=says):
        run_experiment(Experiment(with_values(settings, {"backbone.depth": 18}), 0), place, ignore)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(StartError, match=r"text\.pth: not readable as a file of weights"):
        run_experiment(Experiment(settings, 0), runtime(weights=(("r2plus1d", tmp_path / "text.pth"),)), ignore)
    assert not runtime().store.exists()


def test_a_last_layer_of_other_classes_is_refused(
    made: tuple[Path, Result], tiny: ExperimentSettings, runtime: Make, tmp_path: Path
) -> None:
    """Of another number; in another order, where the file says; and where there is no last layer at all."""
    weights = load_file(weights_of(made, "finetune"))
    seven = dict(weights)
    for name in ("network.fc.1.weight", "network.fc.1.bias"):
        seven[name] = torch.cat([weights[name], weights[name][:1]])
    save_file(seven, tmp_path / "seven.safetensors")
    named = '{"classes": ["fly", "b", "c", "d", "e", "f"]}'
    save_file(weights, tmp_path / "named.safetensors", {"auxgraph": named})
    cases = {
        tmp_path / "seven.safetensors": r"a last layer of 7 classes, and embedded has 6",
        tmp_path / "named.safetensors": r"class 0 is 'fly', and of embedded it is '\w+'",
        weights_of(made, "pretext"): r"has no last layer, and embedded has 6",
    }
    for path, says in cases.items():
        told: list[dict[str, Any]] = []
        with pytest.raises(StartError, match=says):
            run_experiment(Experiment(from_file(tiny, "as_given"), 0), runtime(weights=(("r2plus1d", path),)), told.append)
        assert not [line for line in told if "stage" in line], "before any stage, as --plan asks"


def test_a_teacher_starts_from_the_network_of_a_file(tiny_graph: ExperimentSettings, runtime: Make, tmp_path: Path) -> None:
    """Frozen, so that its convolutions are those of the file in the end; without its task, which is not run; and one of another
    form is refused before anything is."""
    torch.manual_seed(3)
    network = make_encoder("vgg", tiny_graph, 9)
    save_file(network.state_dict(), tmp_path / "vgg.safetensors")
    place = runtime(weights=(("vgg", tmp_path / "vgg.safetensors"),))
    values = {"recipe": "fusion", "teachers.tasks": "sorting", "teacher_finetune.transferred_from": "imported"}
    settings = with_values(tiny_graph, {**values, "teacher_finetune.freeze": True})
    result = run_experiment(Experiment(settings, 0), place, ignore)
    assert result.stages.keys() == {"imported_vgg", "sorting_classifier", "sorting_views", "fusion"}
    artifact = place.open_store().find("sorting_classifier", result.stages["sorting_classifier"])
    assert artifact is not None
    found, weights = artifact.tensors(), network.state_dict()
    layers = [name for name in weights if name.startswith("features.")]
    assert len(layers) > 20
    assert all(torch.equal(found[name], weights[name]) for name in layers)
    says = r"weights of another network than vgg, vgg\.channels = .* --set vgg\.channels='\[4, 4, 6, 6, 6\]'"
    with pytest.raises(StartError, match=says):
        run_experiment(Experiment(with_values(settings, {"vgg.channels": [5, 4, 6, 6, 6]}), 0), place, ignore)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"recipe": "scratch", "evaluation.measures": ["as_given"]}, r"as_given is of recipe imported, and recipe = scratch"),
        ({"recipe": "student", "evaluation.measures": ["as_given"]}, r"recipe student has no as_given"),
        ({"recipe": "imported", "evaluation.measures": ["finetune", "as_given"]}, r"one at a time"),
    ],
)
def test_as_given_is_of_an_imported_network_alone(values: dict[str, Any], says: str, tiny: ExperimentSettings) -> None:
    with pytest.raises(SettingsError, match=says):
        with_values(tiny, values)
