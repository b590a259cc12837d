"""Settings of which a reader can read only what it declared, whatever is done with them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from trainables.settings import (
    ExperimentSettings,
    Optimisation,
    Readable,
    UndeclaredSetting,
    names_below,
    setting_names,
    with_values,
)

SOME = frozenset({"vspp.speeds", "video.crop", "data.embedded.classes", "recipe"})
WHERE = "`reads` of the task"


@pytest.fixture
def limited(tiny: ExperimentSettings) -> ExperimentSettings:
    return tiny.readable(Readable(SOME, "the stage pretext", WHERE))


def test_what_is_declared_is_read_and_noted(tiny: ExperimentSettings) -> None:
    """At the top, in a group, and in a group of a group; a group itself is no setting."""
    readable = Readable(SOME, "the stage pretext", WHERE)
    limited = tiny.readable(readable)
    group = limited.vspp
    assert readable.read == set()
    assert (group.speeds, limited.recipe) == (tiny.vspp.speeds, tiny.recipe)
    assert readable.read == {"vspp.speeds", "recipe"}
    assert limited.data.embedded.classes == 6
    assert readable.read == SOME - {"video.crop"}


def test_what_is_not_declared_raises_and_says_where_to_declare_it(limited: ExperimentSettings) -> None:
    says = (
        r"^the stage pretext reads vspp\.segments, which is not in its key: two experiments that differ in it would share one "
        r"artifact\. Declare it in `reads` of the task$"
    )
    with pytest.raises(UndeclaredSetting, match=says):
        _ = limited.vspp.segments
    with pytest.raises(UndeclaredSetting, match=r"reads data\.embedded\.train,"):
        _ = limited.data.embedded.train
    with pytest.raises(UndeclaredSetting, match="reads protocol,"):
        _ = limited.protocol


def test_no_default_hides_it(limited: ExperimentSettings) -> None:
    """As it would an AttributeError, which a name that no setting has still is."""
    with pytest.raises(UndeclaredSetting):
        getattr(limited.vspp, "segments", 4)
    with pytest.raises(UndeclaredSetting):
        hasattr(limited.vspp, "segments")
    assert not hasattr(limited.vspp, "segment")
    assert getattr(limited.vspp, "segment", None) is None
    with pytest.raises(AttributeError, match="segment"):
        _ = limited.vspp.segment  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "copied",
    [
        lambda settings: pickle.loads(pickle.dumps(settings)),
        copy.deepcopy,
        copy.copy,
        lambda settings: settings.model_copy(),
        lambda settings: settings.model_copy(update={"recipe": "scratch"}),
    ],
    ids=["pickle", "deepcopy", "copy", "model_copy", "update"],
)
def test_copies_are_limited_alike(
    limited: ExperimentSettings, copied: Callable[[ExperimentSettings], ExperimentSettings]
) -> None:
    """Processes that load clips get their settings pickled."""
    for settings in (copied(limited), copied(copied(limited))):
        assert (settings.vspp.speeds, settings.data.embedded.classes) == (4, 6)
        for group, name in (("vspp", "segments"), ("finetune", "epochs")):
            with pytest.raises(UndeclaredSetting, match=rf"{group}\.{name}"):
                getattr(getattr(settings, group), name)
        assert type(settings) is ExperimentSettings


def test_a_copy_with_another_value_has_it(limited: ExperimentSettings) -> None:
    """Such as the pixels that an encoder needs, whatever the settings say; other values are those of before."""
    video = limited.video.model_copy(update={"pixels": "rgb_unit"})
    assert (video.pixels, video.crop) == ("rgb_unit", 12)
    with pytest.raises(UndeclaredSetting, match=r"video\.height"):
        _ = video.height


def test_values_are_not_to_be_had_as_a_whole(limited: ExperimentSettings) -> None:
    """A dump, iteration or comparison of limited settings reads each of them; of what is declared it is as ever."""
    for whole in (dict, lambda group: group.model_dump(), lambda group: group == group.model_copy()):
        with pytest.raises(UndeclaredSetting, match=r"reads vspp\.segments"):
            whole(limited.vspp)
    assert "segments" not in repr(limited.vspp)
    whole_group = ExperimentSettings().readable(Readable(frozenset(names_below(setting_names(), ["vspp"])), "a stage", WHERE))
    assert whole_group.vspp.model_dump() == ExperimentSettings().vspp.model_dump()
    assert whole_group.vspp == ExperimentSettings().vspp


def test_properties_read_what_they_are_made_of(tiny: ExperimentSettings) -> None:
    """A group's own methods are no way around."""
    readable = Readable(frozenset({"pretext.epochs"}), "a reader", WHERE)
    with pytest.raises(UndeclaredSetting, match=r"pretext\.checkpoints"):
        _ = tiny.readable(readable).pretext.checkpoint_epoch(1)
    with pytest.raises(UndeclaredSetting, match=r"data\.downstream"):
        _ = tiny.readable(readable).data.downstream_sets


def test_what_is_off_may_be_read_by_anyone(tiny: ExperimentSettings) -> None:
    """At its off value a setting is as if it did not exist; at another it must be declared like any."""
    assert tiny.is_off("finetune.warmup_epochs")
    assert tiny.is_off("finetune.clip_gradient")
    assert not tiny.is_off("finetune.epochs")
    assert not tiny.is_off("data.embedded.train")
    assert not tiny.is_off("recipe")
    warm = with_values(tiny, {"finetune.warmup_epochs": 1.5})
    assert not warm.is_off("finetune.warmup_epochs")
    readable = Readable(frozenset(), "a reader", WHERE)
    assert tiny.readable(readable).finetune.warmup_epochs == 0
    assert tiny.readable(readable).finetune.clip_gradient is None
    assert readable.read == {"finetune.warmup_epochs", "finetune.clip_gradient"}
    with pytest.raises(UndeclaredSetting, match=r"finetune\.warmup_epochs"):
        _ = warm.readable(readable).finetune.warmup_epochs


def test_names_below_a_group_or_a_name() -> None:
    names = setting_names()
    assert names_below(names, ["compute"]) == [name for name in names if name.startswith("compute.")]
    assert names_below(names, ["vspp.speeds", "vspp.speed"]) == ["vspp.speeds"], "not what only begins alike"
    assert names_below(names, ["finetune"]) == [f"finetune.{name}" for name in type(ExperimentSettings().finetune).model_fields]
    assert names_below(names, ["no_group"]) == []


def test_a_cosine_schedule_has_no_steps() -> None:
    assert Optimisation(schedule="cosine").unread() == ("step_epochs", "decay")
    assert Optimisation(schedule="step").unread() == ()
