"""Every setting for people: what type it has, which values are valid, what it is by default and what it means.

Read from the JSON schema of ExperimentSettings, so that a field and its description are written once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from trainables.settings.base import SettingsError
from trainables.settings.experiment import ExperimentSettings, setting_names
from trainables.suggestions import did_you_mean

TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}


@dataclass(frozen=True)
class Described:
    """A setting by its dotted name. type, valid: in words; valid is empty where every value of the type is.

    about_group: what the group is that it is in.
    """

    name: str
    type: str
    valid: str
    default: Any
    description: str
    about_group: str

    @property
    def group(self) -> str:
        """The part of the name before the last dot; empty for settings of no group."""
        return self.name.rpartition(".")[0]


def described(prefix: str = "", settings: ExperimentSettings | None = None) -> list[Described]:
    """The settings whose names begin with `prefix`, in the order of the groups.

    settings: also the groups that tasks from outside the package bring to these. Raises SettingsError where there is none.
    """
    every = [*_of_package(), *(one for name, group in _from_outside(settings) for one in _of_group(name, group))]
    chosen = [setting for setting in every if setting.name.startswith(prefix)]
    if not chosen:
        groups = {setting.group for setting in every} - {""}
        near = did_you_mean(prefix, sorted(groups)) or did_you_mean(prefix, [setting.name for setting in every])
        raise SettingsError(f"no setting begins with '{prefix}'{near}")
    return chosen


def _from_outside(settings: ExperimentSettings | None) -> list[tuple[str, type[BaseModel]]]:
    return [(name, type(group)) for name, group in ((settings and settings.model_extra) or {}).items()]


@functools.cache
def _of_package() -> tuple[Described, ...]:
    found = {setting.name: setting for setting in _of_group("", ExperimentSettings)}
    return tuple(found[name] for name in setting_names())


def _of_group(group: str, model: type[BaseModel]) -> Iterator[Described]:
    """The settings of a model and of the groups in it, as its JSON schema has them."""
    whole = model.model_json_schema()
    waiting: list[tuple[str, Mapping[str, Any], type[BaseModel]]] = [(group, whole, model)]
    for name, schema, fields in waiting:  # grows while it is walked: groups may hold groups
        about = str(schema.get("description", "")).partition("\n\n")[0].replace("\n", " ")
        for leaf, of_field in schema["properties"].items():
            dotted = f"{name}.{leaf}" if name else leaf
            if "$ref" in of_field:
                kind: Any = fields.model_fields[leaf].annotation
                waiting.append((dotted, whole["$defs"][of_field["$ref"].rpartition("/")[2]], kind))
            else:
                default = fields.model_fields[leaf].default
                plain = list(default) if isinstance(default, tuple) else default
                yield Described(dotted, *_in_words(of_field), plain, of_field.get("description", ""), about)


def _in_words(schema: Mapping[str, Any]) -> tuple[str, str]:
    """Type and valid values."""
    if "anyOf" in schema:
        types, valid = zip(*(_in_words(one) for one in schema["anyOf"] if one.get("type") != "null"), strict=True)
        null = ["null"] if len(types) < len(schema["anyOf"]) else []
        return " or ".join([*types, *null]), "; ".join(dict.fromkeys(filter(None, valid)))
    if "choices" in schema:
        return "one of", schema["choices"]
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
    if " or " in kind:
        return f"list of {number}values, each {kind}", f"each {valid.partition(';')[0]}"
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
