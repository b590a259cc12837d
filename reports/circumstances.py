"""What a group of trials is, in words: preset, protocol, data, network, and what sets it apart from the paper and others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from reports.flags import flags
from reports.groups import LIKE_FOR_LIKE, Group, UsedSet
from reports.sheet import counted, listed
from search_spaces.papers import DOWNSTREAM, PRETRAINING, PaperTable
from trainables.settings import GRAPH_RECIPES

_PROTOCOLS = {LIKE_FOR_LIKE: "like-for-like protocol", "published": "each method's published protocol"}


def is_comparable(table: PaperTable, group: Group) -> bool:
    """Whether nothing on record sets the group apart from the circumstances of the published numbers."""
    apart = group.missing_videos or any(used.stands_in for used in group.sets)
    departs = departures_from_paper(table, group) or _departures_from_preset(group, said_by(table))
    return group.preset == "paper" and not apart and not departs


def heading(table: PaperTable, group: Group) -> str:
    """What a group is, in a line: preset, protocol, data, and whether the paper's numbers may be set against it."""
    mark = "" if is_comparable(table, group) else ": not comparable to the paper's numbers in absolute terms"
    return circumstances(group) + mark


def circumstances(group: Group) -> str:
    """Preset, protocol and data of a group, in a line."""
    lacking = f" with {counted(group.missing_videos, 'listed video')} missing" if group.missing_videos else ""
    return f"{group.preset}, {_PROTOCOLS[group.protocol]}, on {_data(group)}{lacking}"


def numbered(number: int, groups: int) -> str:
    """How the heading of the group of this number, from 1, begins: what `circumstances` of it continues."""
    return f"Group {number} of {groups}, preset" if groups > 1 else "Preset"


def backbone_of(group: Group) -> str:
    """What the group's backbones, or students, have in common."""
    if _is_of_graphs(group):
        return "AlexNet of channels " + "-".join(map(str, group.settings.get("alexnet.channels", ["various"])))
    words = {"backbone.family": "", "backbone.depth": "depth ", "backbone.width": "width "}
    shared = [f"{word}{group.settings[name]}" for name, word in words.items() if name in group.settings]
    return " ".join(shared) or "of several kinds"


def set_name(dataset: str) -> str:
    """A data set's name for people."""
    return "embedded clips" if dataset == "embedded" else dataset


def description(group: Group) -> list[str]:
    """Notes on how a group's numbers were made, on each of its data sets, and on stages that ended at chance."""
    made = [f"recipe {group.settings['recipe']}"] if "recipe" in group.settings else []
    made += [
        f"{'student' if _is_of_graphs(group) else 'backbone'} {backbone_of(group)}",
        f"evaluated by protocol version {group.version}",
    ]
    several = len({used.split for used in group.sets}) > 1
    data = [_data_note(used, roles, several) for used, roles in group.roles_of_sets]
    return [", ".join(made), *data, *flags(group.records)]


def said_by(table: PaperTable) -> set[str]:
    """What a table is about: settings that nobody had to choose for it."""
    return {*table.fixed, *table.paper_settings}


def departures_from_paper(table: PaperTable, group: Group) -> list[str]:
    """Circumstances of the published numbers that the group does not have."""
    return [
        f"{name} = {_value(group, name)} (paper: {value})"
        for name, value in table.paper_settings.items()
        if group.settings.get(name) != value
    ]


def differences_of_settings(group: Group, groups: Sequence[Group], said: Collection[str]) -> list[str]:
    """Notes on the settings that set a group apart from its preset (those not yet `said`) and from others of its kind."""
    notes = []
    if departures := _departures_from_preset(group, said):
        notes.append(f"differs from preset {group.preset} in " + ", ".join(departures))
    if apart := sets_apart(group, groups):
        notes.append("differs from other groups of this preset and protocol in " + ", ".join(apart))
    return notes


def sets_apart(group: Group, groups: Sequence[Group]) -> list[str]:
    """The settings in which groups of one preset and protocol differ, with the group's own values."""
    differing = _differing_settings([other for other in groups if _kind(other) == _kind(group)])
    return [f"{name} = {_value(group, name)}" for name in differing]


def _is_of_graphs(group: Group) -> bool:
    return {record.settings.get("recipe") for record in group.records} <= {*GRAPH_RECIPES}


def _data(group: Group) -> str:
    replaced: dict[str, list[str]] = {}
    names = []
    for used, _ in group.roles_of_sets:
        if used.stands_in:
            replaced.setdefault(set_name(used.data.dataset), []).append(used.name)
        else:
            names.append(set_name(used.name))
    names += [f"{dataset} in place of {listed(sorted(set(others)))}" for dataset, others in sorted(replaced.items())]
    return listed(list(dict.fromkeys(names)))


def _data_note(used: UsedSet, roles: Sequence[str], several_splits: bool) -> str:
    data = used.data
    facts = [f"{data.classes} classes", f"videos train {data.train} / validation {data.validation} / test {data.test}"]
    if data.missing:
        facts.append(f"partial copy, listed videos missing: {data.missing}")
    if data.skipped:
        facts.append(f"unreadable videos skipped: {len(data.skipped)}")
    source = f"{used.name} (in its place: {set_name(data.dataset)})" if used.stands_in else used.name
    source += f", split {used.split}" if several_splits and not used.stands_in else ""
    source += f", {used.share:.0%} of its training videos" if used.share < 1 else ""
    return f"{' and '.join(roles)} on {source}: {', '.join(facts)}, fingerprint {data.fingerprint}"


def _departures_from_preset(group: Group, said: Collection[str]) -> list[str]:
    """Settings that somebody chose beyond what is `said`, and beyond what headings say."""
    known = {*said, PRETRAINING, DOWNSTREAM, "protocol"}
    return [f"{name} = {value}" for name, value in group.departures.items() if name not in known]


def _differing_settings(groups: Sequence[Group]) -> list[str]:
    names = sorted({name for group in groups for name in group.settings})
    return [name for name in names if len({repr(_value(group, name)) for group in groups}) > 1]


def _kind(group: Group) -> tuple[str, str]:
    return group.preset, group.protocol


def _value(group: Group, name: str) -> Any:
    several = any(name in record.settings for record in group.records)
    return group.settings.get(name, "of several values" if several else "unset")
