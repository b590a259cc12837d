"""Names of tasks, networks and layouts: those that are listed, import paths, and files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.settings import TASKS, TEACHER_TASKS, Registry, SettingsError, folders_in_use, is_import_path, registry

FRUIT = Registry("fruit", {"apple": "trainables.settings.registry:Registry", "pear": "trainables.nowhere:Pear"})


@pytest.fixture(autouse=True)
def import_path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test puts on the import path, and imports from there, is gone after it."""
    monkeypatch.setattr(registry, "_folders", [])
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules:
        del sys.modules[name]


def write(directory: Path, name: str, text: str = "class Rotation:\n    pass\n") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_listed_name_is_found_where_it_says() -> None:
    assert FRUIT.find("apple") is Registry
    assert list(FRUIT) == ["apple", "pear"]
    assert "apple" in FRUIT
    assert "plum" not in FRUIT
    assert "market.stall:Plum" in FRUIT


def test_an_unknown_name_is_an_error_that_says_what_is_near_and_what_is_valid() -> None:
    for check in (FRUIT.find, FRUIT.check):
        with pytest.raises(ValueError, match=r"^unknown fruit 'aple'; did you mean 'apple'\?; valid: apple, pear, or pack"):
            check("aple")
        with pytest.raises(ValueError, match=r"^unknown fruit 'banana'; valid: apple, pear, "):
            check("banana")
    with pytest.raises(SettingsError):
        FRUIT.find("banana")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("rotation:Rotation", True),
        ("mine.tasks.rotation:Rotation", True),
        ("rotation", False),
        ("rotation:", False),
        (":Rotation", False),
        ("my rotation:Rotation", False),
        ("mine/rotation.py:Rotation", False),
        ("rotation.py:Rotation", False),
        ("class:Rotation", False),
        ("a:b:c", False),
    ],
)
def test_what_is_an_import_path(name: str, is_one: bool) -> None:
    assert is_import_path(name) == is_one


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pear", r"^fruit pear: trainables\.nowhere cannot be imported: ModuleNotFoundError: No module named "),
        ("nowhere_at_all:Plum", r"^fruit nowhere_at_all:Plum: nowhere_at_all cannot be imported: ModuleNotFoundError"),
        ("trainables.settings:Plum", r"^fruit trainables\.settings:Plum: trainables\.settings has no Plum$"),
    ],
)
def test_what_is_not_there_is_said(name: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        FRUIT.find(name)


def test_an_error_in_somebody_s_own_file_is_passed_on_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "unripe.py", "1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match=r"^fruit unripe:Plum: unripe cannot be imported: ZeroDivisionError: division by"):
        FRUIT.find("unripe:Plum")


def test_a_file_is_named_by_its_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its folder on the import path, so that no key and no ledger holds a place on a disk; a relative path too."""
    path = write(tmp_path / "mine", "turning_task.py")
    assert FRUIT.check(f"{path}:Rotation") == "turning_task:Rotation"
    assert str(path.parent) in sys.path
    assert folders_in_use() == [str(path.parent)], "which other processes are told of"
    assert FRUIT.find("turning_task:Rotation").__module__ == "turning_task"
    monkeypatch.chdir(tmp_path)
    assert FRUIT.check("mine/turning_task.py:Rotation") == "turning_task:Rotation"
    assert FRUIT.find(f"{path}:Rotation") is FRUIT.find("turning_task:Rotation")
    with pytest.raises(SettingsError, match="turning_task has no Tilt"):
        FRUIT.find(f"{path}:Tilt")


def test_files_that_cannot_be_named(tmp_path: Path) -> None:
    """One that is not there, one that no import statement could name, and one that hides behind another module."""
    with pytest.raises(ValueError, match=r"nowhere\.py:Rotation: there is no file .*nowhere\.py$"):
        FRUIT.check(f"{tmp_path}/nowhere.py:Rotation")
    with pytest.raises(ValueError, match=r"has a name of letters, digits and _, not my-rotation\.py$"):
        FRUIT.check(f"{write(tmp_path, 'my-rotation.py')}:Rotation")
    with pytest.raises(ValueError, match=r"json\.py bears the name of another module \(json\); rename the file$"):
        FRUIT.check(f"{write(tmp_path, 'json.py')}:Rotation")
    first, second = (write(tmp_path / place, "same_name.py") for place in ("one", "other"))
    FRUIT.check(f"{first}:Rotation")
    with pytest.raises(ValueError, match=r"same_name\.py bears the name of another module"):
        FRUIT.check(f"{second}:Rotation")


def test_teachers_tasks_are_the_last_of_all_tasks() -> None:
    assert tuple(TASKS)[-len(TEACHER_TASKS) :] == TEACHER_TASKS == ("sorting", "ego_motion", "tracking", "prediction")
