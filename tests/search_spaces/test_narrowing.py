"""Spaces made smaller: what is left, against lists by hand; what a narrowed space proposes; what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from harness.positions import named_configurations, placed
from harness.proposals import Exhausted, Proposals
from search_spaces.narrowing import Interval, Range, Values, narrowed, parse_range, varied
from search_spaces.paper_tables import table_space
from search_spaces.space import Parameters, Row, Space, SpaceError, check_space, find_space, space_names
from trainables.presets import configure

T, S = "auxskd.teacher_temperature", "auxskd.student_temperature"


def proposed(space: Space, search: str = "tpe", limit: int = 12) -> list[Parameters]:
    """What is proposed in turn, each trial worth its first parameter."""
    named = placed(named_configurations(space, search == "grid"), None, {})
    source = Proposals(space, search, 7, limit, named, {}, lambda parameters: configure("demo", {**space.base, **parameters}))
    found = []
    while True:
        try:
            found.append(source.next())
        except Exhausted:
            return [configuration.parameters for configuration in found]
        value = next(iter(found[-1].parameters.values()))
        source.close(found[-1].index, value if isinstance(value, float) else 0.5)


@pytest.mark.parametrize("search", ["tpe", "random"])
def test_a_pinned_parameter_has_one_value_and_stays_a_parameter(search: str) -> None:
    """Of seven rows two have the teacher's 0.02; three draws follow them, as in the whole space."""
    space = narrowed(find_space("temperatures"), {T: 0.02}, {})
    assert [row.label for row in space.rows] == ["0.02 / 0.02", "0.02 / 0.1"]
    assert space.trials == 10 - 5
    found = proposed(space, search)
    assert len(found) == 12
    assert {point[T] for point in found} == {0.02}
    assert len({point[S] for point in found}) == 12
    check_space(space, "demo")


@pytest.mark.parametrize("search", ["tpe", "random"])
def test_a_range_holds_rows_grid_and_draws(search: str) -> None:
    space = narrowed(find_space("temperatures"), {}, {S: Interval(0.04, 0.08)})
    assert [row.parameters[S] for row in space.rows] == [0.05, 0.07]
    assert sorted({point[S] for point in space.grid()}) == [0.05, 0.07]
    assert len(space.grid()) == 5 * 2
    assert all(0.04 <= point[S] <= 0.08 and 0.005 <= point[T] <= 0.5 for point in proposed(space, search))
    check_space(space, "demo")


def test_pinning_everything_leaves_the_rows_that_have_it() -> None:
    found = proposed(narrowed(find_space("temperatures"), {T: 0.02, S: 0.1}, {}))
    assert found == [{T: 0.02, S: 0.1}], "there is nothing else to draw"


def test_the_grid_of_a_narrowed_space_is_searched_to_its_end() -> None:
    space = narrowed(find_space("temperatures"), {T: 0.02}, {})
    found = proposed(space, "grid", 100)
    assert sorted(point[S] for point in found) == [0.01, 0.02, 0.05, 0.07, 0.1]


def test_the_rows_of_a_table_are_chosen_by_what_they_vary() -> None:
    """Table 2: sixteen cells, of which half have R3D; and with auxSKD only, eight."""
    table = table_space("auxskd/table2", "demo")
    for pinned, ranges in (({"backbone.family": "r3d"}, {}), ({}, {"recipe": Values(("auxskd_pretext",))})):
        space = narrowed(table, pinned, ranges)
        name, value = ("backbone.family", "r3d") if pinned else ("recipe", "auxskd_pretext")
        expected = [row for row in table.rows if row.parameters[name] == value]
        assert list(space.rows) == expected
        assert space.trials == len(expected) == 8
        check_space(space, "demo")


STEPS = Space(
    name="steps",
    summary="",
    rows=(Row("a", {"vspp.speeds": 4, "finetune.dropout": 0.5, "finetune.epochs": 3}),),
    suggest=lambda trial: {
        "vspp.speeds": trial.suggest_int("vspp.speeds", 2, 8, step=2),
        "finetune.dropout": trial.suggest_float("finetune.dropout", 0.1, 0.9, step=0.2),
        "finetune.epochs": trial.suggest_int("finetune.epochs", 1, 16, log=True),
    },
    grid=list,
)


def test_a_narrowed_range_stays_on_its_steps() -> None:
    """3 to 7 of 2, 4, 6, 8 is 4 and 6; 0.25 to 0.7 of 0.1, 0.3, ..., 0.9 is 0.3, 0.5 and 0.7, however floats round."""
    ranges: dict[str, Range] = {"vspp.speeds": Interval(3, 7), "finetune.dropout": Interval(0.25, 0.7)}
    space = narrowed(STEPS, {}, ranges | {"finetune.epochs": Interval(2, 3.5)})
    points = itertools.product((4, 6), (0.3, 0.5, 0.7), (2, 3))
    found = [(point["vspp.speeds"], round(point["finetune.dropout"], 6), point["finetune.epochs"]) for point in proposed(space)]
    assert sorted(found) == sorted(points)
    assert varied(space) == {
        "vspp.speeds": "4 to 6, in steps of 2",
        "finetune.dropout": "0.3 to 0.7, in steps of 0.2",
        "finetune.epochs": "2 to 3, log",
    }


def test_conditional_parameters_are_known_and_narrowed() -> None:
    """What a graph is made of is asked only where it is on: each is found, and pinned where it is asked."""
    graph = find_space("graph")
    expected = {name for row in graph.rows for name in row.parameters} | {"graph.edge_temperature"}
    assert expected <= varied(graph).keys()
    space = narrowed(graph, {"graph.distance": "emd"} if "emd" in varied(graph)["graph.distance"] else {}, {})
    space = narrowed(space, {}, {"graph.logits": Values(("graph",))})
    assert [row.label for row in space.rows] == [row.label for row in graph.rows if row.parameters["graph.logits"] == "graph"]
    assert {point["graph.logits"] for point in proposed(space)} == {"graph"}


@pytest.mark.parametrize("name", space_names())
def test_every_parameter_of_every_space_can_be_pinned_to_a_row_s_value(name: str) -> None:
    """Of `loss_weights` not one weight alone to 0, which the lower end of the other's range excludes, but both."""
    space = find_space(name)
    for row in space.rows:
        assert row in narrowed(space, dict(row.parameters), {}).rows
        for parameter, value in row.parameters.items():
            if name == "loss_weights" and parameter == "vspp.segment_weight" and value == 0:
                continue
            smaller = narrowed(space, {parameter: value}, {})
            assert row in smaller.rows
            assert all(other.parameters.get(parameter, value) == value for other in smaller.rows)
    check_space(narrowed(space, dict(space.rows[0].parameters), {}), "demo")


def test_a_draw_with_which_nothing_is_left_of_a_range_is_made_again() -> None:
    """The second weight may be 0 only where the first is not: of draws with both at 0 none is proposed."""
    space = narrowed(find_space("loss_weights"), {}, {"vspp.segment_weight": Interval(0, 0.25)})
    found = proposed(space, "random", 12)
    assert {point["vspp.segment_weight"] for point in found} == {0.0, 0.25}
    assert all(point["vspp.speed_weight"] or point["vspp.segment_weight"] for point in found)
    depends = replace(
        STEPS,
        rows=(),
        suggest=lambda trial: {
            "vspp.speeds": (speeds := trial.suggest_int("vspp.speeds", 2, 8)),
            "finetune.epochs": trial.suggest_int("finetune.epochs", speeds, 12),
        },
    )
    points = proposed(narrowed(depends, {}, {"finetune.epochs": Interval(2, 3)}), "random", 50)
    expected = [(2, 2), (2, 3), (3, 3)]
    assert sorted((point["vspp.speeds"], point["finetune.epochs"]) for point in points) == expected


@pytest.mark.parametrize(
    ("pinned", "ranges", "says"),
    [
        ({T: 0.7}, {}, "draws it from 0.005 to 0.5, so nothing is left"),
        ({}, {T: Interval(0.6, 0.7)}, r"teacher_temperature=0.6:0.7: temperatures draws it from 0.005 to 0.5"),
        ({}, {T: Values((0.1, 0.2))}, "narrow it by auxskd.teacher_temperature=LOW:HIGH"),
        ({"auxskd.temperature": 0.1}, {}, "does not vary auxskd.temperature; it varies .* did you mean"),
        ({}, {"vspp.speeds": Interval(2, 3)}, "does not vary vspp.speeds"),
        ({T: 0.1}, {T: Interval(0.01, 0.2)}, "set to one value and given a range"),
    ],
)
def test_what_cannot_be_narrowed_so(pinned: dict[str, Any], ranges: dict[str, Range], says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        narrowed(find_space("temperatures"), pinned, ranges)


def test_choices_are_not_numbers_and_nothing_may_be_left_of_neither_rows_nor_steps() -> None:
    with pytest.raises(SpaceError, match=r"has vspp, video_pace, .*so nothing is left"):
        narrowed(find_space("pretext"), {}, {"pretext.task": Interval(1, 2)})
    with pytest.raises(SpaceError, match=r"from 2 to 8 in steps of 2, so nothing is left"):
        narrowed(STEPS, {"vspp.speeds": 3}, {})
    with pytest.raises(SpaceError, match=r"has no configuration with auxskd.teacher_temperature=0.03"):
        narrowed(replace(find_space("temperatures"), trials=7), {T: 0.03}, {})


def test_one_is_not_true() -> None:
    assert Values((1,)).admits(1.0)
    assert not Values((1,)).admits(True)
    assert not Interval(0, 2).admits(True)
    assert Values(([0.1, 1],)).admits((0.1, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=0.01:1e-1", ("a.b", Interval(0.01, 0.1))),
        ("a.b = 2:8", ("a.b", Interval(2, 8))),
        ("a.b=x,y+z", ("a.b", Values(("x", "y+z")))),
        ("a.b=1e-3", ("a.b", Values((0.001,)))),
        ("a.b=[1, 2],[3]", ("a.b", Values(([1, 2], [3])))),
    ],
)
def test_ranges_as_people_write_them(text: str, expected: tuple[str, Range]) -> None:
    name, given = parse_range(text)
    assert (name.strip(), given) == expected


@pytest.mark.parametrize("text", ["a.b", "a.b=", "=1:2", "a.b=1:", "a.b=2:1", "a.b=1:y", "a.b=[1", "a.b=nan:1"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(SpaceError, match="--range"):
        parse_range(text)
