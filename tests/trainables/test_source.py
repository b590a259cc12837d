"""Which code is the same: that with the same syntax trees, here and in what it imports."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainables import source
from trainables.pipeline import Experiment, resolve
from trainables.settings import TASKS, ExperimentSettings, with_values
from trainables.source import Code, code_of

Digest = Callable[[dict[str, str]], Code]


@pytest.fixture
def digest_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Digest]:
    """The code of a module `mine` of somebody's, given the contents of its files."""
    monkeypatch.syspath_prepend(tmp_path)

    def digest(files: dict[str, str]) -> Code:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        forget()
        importlib.invalidate_caches()
        return code_of(frozenset(["mine"]))

    yield digest
    forget()


def forget() -> None:
    for function in (source.code_of, source._file_of, source._read):
        function.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] in ("mine", "other", "parts")]:
        del sys.modules[name]


PLAIN = {"mine.py": "import other\n\ndef loss(x):\n    return x * other.FACTOR\n", "other.py": "FACTOR = 2\n"}


@pytest.mark.parametrize(
    "files",
    [
        {
            "mine.py": '"""What it does."""\nimport other  # for its factor\n\n\ndef loss(x):\n    "Its loss."\n'
            "    return (x*other.FACTOR)\n"
        },
        {"other.py": "# twice\nFACTOR = (2)\n"},
        {"unrelated.py": "FACTOR = 3\n"},
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(digest_of: Digest, files: dict[str, str]) -> None:
    assert digest_of(PLAIN).digest == digest_of(PLAIN | files).digest


@pytest.mark.parametrize(
    ("files", "changed"),
    [
        ({"mine.py": PLAIN["mine.py"].replace("x *", "0 *")}, ["mine"]),
        ({"other.py": "FACTOR = 3\n"}, ["other"]),
        ({"mine.py": "import other\nfrom parts import deep\n" + PLAIN["mine.py"], "parts/deep.py": "", "parts/__init__.py": ""},
         ["mine", "parts", "parts.deep"]),
    ],
)  # fmt: skip
def test_what_runs_otherwise_is_other_code(digest_of: Digest, files: dict[str, str], changed: list[str]) -> None:
    before, after = digest_of(PLAIN), digest_of(PLAIN | files)
    assert before.digest != after.digest
    assert after.changed(before.modules) == changed
    assert after.elsewhere(changed)


def test_imports_are_followed_relative_ones_and_those_in_functions_too(digest_of: Digest) -> None:
    files = {
        "mine.py": "def f():\n    import parts.deep\n",
        "parts/__init__.py": "",
        "parts/deep.py": "from . import beside\nfrom .. import nothing\n",
        "parts/beside.py": "import numpy, torch, mine\n",
    }
    assert set(digest_of(files).modules) == {"mine", "parts", "parts.deep", "parts.beside"}, "not into what is installed"


def test_a_compiled_module_counts_by_its_bytes(tmp_path: Path) -> None:
    compiled, hashes = tmp_path / "other.so", []
    for content in (b"\0one", b"\0two"):
        compiled.write_bytes(content)
        source._read.cache_clear()
        hashes.append(source._read("other", compiled).hash)
    assert hashes[0] != hashes[1]
    assert source._read("other", compiled).imports == frozenset()


def test_modules_in_a_folder_without_init_count(digest_of: Digest) -> None:
    files = {"mine.py": "import parts.deep\n", "parts/deep.py": ""}
    assert set(digest_of(files).modules) == {"mine", "parts.deep"}


def test_a_stage_s_code_is_that_of_what_it_is_made_of(tiny: ExperimentSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task, its network and the loop; not other tasks, and nothing of where things lie."""

    def modules(task: str) -> dict[str, set[str]]:
        settings = with_values(tiny, {"pretext.task": task})
        return {stage.kind: set(stage.code.modules) for stage in resolve(Experiment(settings, 0), Anything())}  # type: ignore[arg-type]

    of_vspp, of_pace = modules("vspp"), modules("video_pace")
    assert {"trainables.tasks.vspp", "trainables.models.resnet3d", "trainables.stages.training"} <= of_vspp["pretext"]
    assert "trainables.tasks.vspp" not in of_pace["pretext"] | of_vspp["finetune"] | of_vspp["evaluate"]
    assert "trainables.distillation.similarity" in of_vspp["auxskd"]
    left_out = {f"trainables.{name}" for name in ("runtime", "files", "suggestions", "source")}
    for found in of_vspp.values():
        assert not found & left_out
        assert not any(name.startswith(("trainables.store", "harness")) for name in found)
    for name in TASKS:
        path = TASKS.entries[name].partition(":")[0]
        if name not in ("vspp",):
            assert path not in of_vspp["pretext"], f"{name} is none of VSPP's business"


class Anything(dict[str, "Anything"]):
    """Data of any role, with a fingerprint."""

    def __missing__(self, role: str) -> Anything:
        return self

    def fingerprint(self, *parts: str) -> str:
        return "same"


def test_of_settings_the_methods_count_and_not_what_may_be_set(tmp_path: Path) -> None:
    """A new setting changes the keys of those that read it, and no other stage's code."""
    plain = "class Group:\n    epochs: int = 3\n    def last(self):\n        return self.epochs\n"

    def of(content: str, of_settings: bool = True) -> str:
        (tmp_path / "settings.py").write_text(content)
        source._read.cache_clear()
        return source._read("trainables.settings.mine" if of_settings else "mine", tmp_path / "settings.py").hash

    more = plain.replace("    def", '    rate: float = Field(0.1, description="of learning")\n    def')
    assert of(plain) == of(more) != of(plain.replace("self.epochs", "2 * self.epochs"))
    assert of(plain, False) != of(more, False)
