"""Every setting for people: what type it has, which values are valid, what it is by default and what it means.

Read from the JSON schema of ExperimentSettings, so that a field and its description are written once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.settings.base import SettingsError
from trainables.settings.experiment import ExperimentSettings, flat
from trainables.suggestions import did_you_mean

TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}


@dataclass(frozen=True)
class Described:
    """A setting by its dotted name. type, valid: in words; valid is empty where every value of the type is."""

    name: str
    type: str
    valid: str
    default: Any
    description: str

    @property
    def group(self) -> str:
        """The part of the name before the last dot; empty for settings of no group."""
        return self.name.rpartition(".")[0]


def described(prefix: str = "") -> list[Described]:
    """The settings whose names begin with `prefix`, in the order of the groups. Raises SettingsError where there is none."""
    found = [setting for setting in _all() if setting.name.startswith(prefix)]
    if not found:
        groups = {setting.group for setting in _all()} - {""}
        near = did_you_mean(prefix, sorted(groups)) or did_you_mean(prefix, [setting.name for setting in _all()])
        raise SettingsError(f"no setting begins with '{prefix}'{near}")
    return found


@functools.cache
def groups() -> dict[str, str]:
    """What each group of settings is, in a sentence or two."""
    return {group: str(schema.get("description", "")).partition("\n\n")[0].replace("\n", " ") for group, schema in _groups()}


@functools.cache
def _all() -> tuple[Described, ...]:
    defaults = flat(ExperimentSettings())
    found = {}
    for group, schema in _groups():
        for leaf, of_field in schema["properties"].items():
            name = f"{group}.{leaf}" if group else leaf
            if name in defaults:
                found[name] = Described(name, *_in_words(of_field), defaults[name], of_field.get("description", ""))
    return tuple(found[name] for name in defaults)


@functools.cache
def _groups() -> list[tuple[str, Mapping[str, Any]]]:
    """The schema of every group by its dotted name, the whole configuration's first."""
    whole = ExperimentSettings.model_json_schema()
    found: list[tuple[str, Mapping[str, Any]]] = [("", whole)]
    for group, schema in found:  # grows while it is walked: groups may hold groups
        for leaf, of_field in schema["properties"].items():
            if "$ref" in of_field:
                found.append((f"{group}.{leaf}" if group else leaf, whole["$defs"][of_field["$ref"].rpartition("/")[2]]))
    return found


def _in_words(schema: Mapping[str, Any]) -> tuple[str, str]:
    """Type and valid values."""
    if "anyOf" in schema:
        types, valid = zip(*(_in_words(one) for one in schema["anyOf"] if one.get("type") != "null"), strict=True)
        return " or ".join([*types, "null"]), "; ".join(filter(None, valid))
    if "enum" in schema or "const" in schema:
        words = [str(word) for word in schema.get("enum", [schema.get("const")])]
        return ("one of", ", ".join(words)) if len(words) > 1 else (words[0], "")
    if schema.get("type") == "array":
        return _list_in_words(schema)
    return TYPES.get(schema.get("type", ""), "value"), _range_in_words(schema)


def _list_in_words(schema: Mapping[str, Any]) -> tuple[str, str]:
    items = schema.get("prefixItems") or [schema["items"]]
    kind, valid = _in_words(items[0])
    number = f"{len(items)} " if "prefixItems" in schema else ""
    if kind == "one of":
        return f"list of {number}words".replace("  ", " "), f"of {valid}"
    return f"list of {number}{kind}s", f"each {valid}" if valid else ""


def _range_in_words(schema: Mapping[str, Any]) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    words = []
    if low is not None and high is not None:
        words.append(f"{low:g} to {high:g}")
    else:
        bounds = {"at least": low, "above": above, "at most": high, "below": below}
        words.append(" and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None))
    if "multipleOf" in schema:
        words.append(f"a multiple of {schema['multipleOf']:g}")
    return ", ".join(filter(None, words))
