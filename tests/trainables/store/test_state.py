"""Training states: exact round trips, and states that are cut, flipped or foreign count as none."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainables.store import Artifact, Course, Store, Workplace, state

KIND, KEY = "finetune", "0123456789abcdef"
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool]


def again(store: Store, state: dict[str, Any]) -> dict[str, Any]:
    """What another claim loads of a state."""
    Workplace(store, KIND, KEY).save_state(state)
    loaded = Workplace(store, KIND, KEY).load_state()
    assert loaded is not None
    return loaded


def test_plain_values_come_back_as_they_were(store: Store) -> None:
    state = {
        "history": [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1e-300}],
        "optimiser": {0: {"step": 3, "betas": (0.9, 0.999)}, 10: {}, 2: None},
        "texts": ["a", "ä\n", ""],
        "truth": [True, False, 1, 1.0, -0.0, math.inf],
        "empty": [[], {}, ()],
        "large": 2**70,
        "best": None,
    }
    loaded = again(store, state)
    assert repr(loaded) == repr(state), "types and the order of keys, too"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
def test_tensors_come_back_to_the_bit(store: Store, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    loaded = again(store, {"a": {"b": tensor}})["a"]["b"]
    assert (loaded.dtype, loaded.shape) == (dtype, tensor.shape)
    assert torch.equal(loaded, tensor)


def test_not_numbers_views_layouts_and_shared_tensors_come_back(store: Store) -> None:
    whole = torch.arange(24.0).reshape(2, 3, 4)
    whole[0, 0, 0] = math.nan
    last = torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d)
    state = {"whole": whole, "same": whole, "part": whole[1], "turned": whole.permute(2, 0, 1), "last": last, "a.b": last[0]}
    loaded = again(store, {**state, "a": {"b": whole[0]}})
    assert loaded["same"].data_ptr() == loaded["whole"].data_ptr()
    assert loaded["last"].stride() == last.stride()
    for name, tensor in {**state}.items():
        assert torch.equal(loaded[name].nan_to_num(7), tensor.nan_to_num(7)), name
    assert torch.equal(loaded["a"]["b"].nan_to_num(7), whole[0].nan_to_num(7)), "the name of another, flattened"


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_an_optimiser_that_goes_on_equals_one_that_never_stopped(store: Store, kind: type[torch.optim.Optimizer]) -> None:
    def make() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Linear(5, 3)
        options: dict[str, Any] = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        return network, kind(network.parameters(), lr=0.1, **options)  # type: ignore[call-arg]

    def steps(network: nn.Linear, optimiser: torch.optim.Optimizer, inputs: range) -> None:
        for number in inputs:
            optimiser.zero_grad()
            network(torch.full((2, 5), number / 7)).square().sum().backward()
            optimiser.step()

    whole, other = make()
    steps(whole, other, range(6))
    network, optimiser = make()
    steps(network, optimiser, range(3))
    loaded = again(store, {"network": network.state_dict(), "optimiser": optimiser.state_dict()})
    network, optimiser = make()
    network.load_state_dict(loaded["network"])
    optimiser.load_state_dict(loaded["optimiser"])
    steps(network, optimiser, range(3, 6))
    assert torch.equal(network.weight, whole.weight) and torch.equal(network.bias, whole.bias)


@pytest.mark.parametrize("value", [object(), {1.5: 0}, b"bytes", {1, 2}])
def test_what_cannot_be_saved_is_named_and_the_state_before_stays(store: Store, value: Any) -> None:
    workplace = Workplace(store, KIND, KEY)
    workplace.save_state({"epoch": 1})
    with pytest.raises(TypeError, match=r"deep\.1"):
        workplace.save_state({"deep": [0, value]})
    assert workplace.load_state() == {"epoch": 1}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random(5).randrange(len(content))] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, empty, flip, Path.unlink])
@pytest.mark.parametrize("file", ["state.json", "state-1.safetensors", "weights-1.safetensors"])
def test_a_damaged_state_counts_as_none(
    store: Store, warned: list[str], publish: Callable[..., Artifact], file: str, harm: Callable[[Path], None]
) -> None:
    workplace = Workplace(store, KIND, KEY)
    workplace.keep("weights-1", {"w": torch.ones(2)})
    workplace.save_state({"epoch": 1, "w": torch.ones(3)})
    harm(workplace.directory / file)
    with store.claim(KIND, KEY) as claimed:
        assert isinstance(claimed, Workplace)
        assert claimed.load_state() is None
        publish(store, workplace=claimed).verify()
    assert len(warned) == (0 if (file, harm) == ("state.json", Path.unlink) else 1)
    assert all(str(workplace.directory) in line for line in warned)
    assert [path.name for path in (store.directory / KIND).iterdir()] == [KEY]


def test_a_state_of_another_version_counts_as_none(store: Store, monkeypatch: pytest.MonkeyPatch, warned: list[str]) -> None:
    monkeypatch.setattr(state, "FORMAT", 2)
    Workplace(store, KIND, KEY).save_state({"epoch": 1})
    monkeypatch.undo()
    assert Workplace(store, KIND, KEY).load_state() is None
    assert "another version" in warned[0]


def test_the_newest_whole_state_is_taken_over_with_what_had_been_kept(
    store: Store, warned: list[str], publish: Callable[..., Artifact]
) -> None:
    """Of three claims the last's state is cut: the second's counts, and all three go when the next one is saved."""
    states = []
    for number in range(1, 4):
        workplace = Workplace(store, KIND, KEY)
        assert (workplace.load_state() or {"epoch": 0})["epoch"] == number - 1
        workplace.keep(f"weights-{number}", {"w": torch.full((2,), float(number))})
        workplace.superseded.clear()  # as if it had been stopped before it removed the state it went on from
        workplace.save_state({"epoch": number})
        states.append(workplace.directory)
    cut(states[2] / "state.json")
    last = Workplace(store, KIND, KEY)
    assert last.load_state() == {"epoch": 2}
    assert len(warned) == 1
    last.save_state({"epoch": 3})
    assert [path.name for path in last.directory.parent.iterdir()] == [last.directory.name]
    kept = last.publish(settings={}, metrics={})
    assert {path.name: float(kept.tensors(path.stem)["w"][0]) for path in sorted(kept.directory.glob("*.safetensors"))} == {
        "weights-1.safetensors": 1.0,
        "weights-2.safetensors": 2.0,
    }


def test_only_one_state_lies_on_the_disk(store: Store) -> None:
    workplace = Workplace(store, KIND, KEY)
    for number in range(3):
        workplace.save_state({"w": torch.full((2,), float(number))})
    assert sorted(path.name for path in workplace.directory.iterdir()) == ["state-3.safetensors", "state.json"]
    assert json.loads((workplace.directory / "state.json").read_text())["number"] == 3


def test_the_state_on_which_most_time_was_spent_serves_however_often_another_was_saved(store: Store) -> None:
    """Of a shorter training that saved itself every minute and an interrupted one that is further."""

    def workplace(key: str, epochs: int) -> Workplace:
        place = Workplace(store, KIND, key)
        place.course = Course("course", epochs, lambda shorter: {})
        return place

    short = workplace(f"5{KEY}", 5)
    short.before = 500.0
    for _ in range(4):
        short.save_state({"epochs": 5})
    short.publish(settings={}, metrics={})
    interrupted = workplace(KEY, 20)
    interrupted.before = 1800.0
    interrupted.save_state({"epochs": 18})
    place = workplace(KEY, 20)
    assert place.load_state() == {"epochs": 18}
    assert place.extended_from == 0
    assert workplace(f"7{KEY}", 7).load_state() == {"epochs": 5}
