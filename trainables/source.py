"""The code that something runs, told from other code: a hash of syntax trees, so comments and formatting change nothing.

`code_of(modules)` follows the imports of modules, through this package and through anybody's own modules, not through what is
installed. Of classes that say what may be set only the methods count: the values are in the stages' keys.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from trainables.files import digest
from trainables.tracebacks import is_own

PACKAGE = Path(__file__).parent
EDITED = "edited"
NO_NUMBERS = ("store", "runtime", "files", "suggestions", "tracebacks", "source")
"""Modules of this package through which imports are not followed: where things lie does not change what they are."""


@dataclass(frozen=True)
class Code:
    """modules: hash of each module's syntax tree, by name. state: `commit ...` or `version ...` whose files these are, or
    EDITED."""

    modules: Mapping[str, str]
    state: str

    @functools.cached_property
    def digest(self) -> str:
        return digest(dict(self.modules))

    def __str__(self) -> str:
        return f"{self.digest} ({self.state})"

    def changed(self, before: Mapping[str, str]) -> list[str]:
        """Names of the modules that are not as they were."""
        return sorted(name for name in {*before, *self.modules} if before.get(name) != self.modules.get(name))

    def elsewhere(self, names: Iterable[str]) -> bool:
        """Whether any module of these names is not of this package."""
        return any(name.partition(".")[0] != PACKAGE.name for name in names)


@functools.cache
def code_of(modules: frozenset[str]) -> Code:
    """The code of modules and of what they import, as it lies on disk when this is first asked. They must be importable."""
    found: dict[str, Path] = {}
    waiting = sorted(modules)
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in found or path is None or not is_own(str(path)) or _is_left_out(name):
            continue
        found[name] = path
        waiting += sorted(_read(name, path).imports - found.keys())
    trees = {name: _read(name, path).hash for name, path in sorted(found.items())}
    return Code(trees, _state(frozenset(found.values())))


def _is_left_out(name: str) -> bool:
    package, _, rest = name.partition(".")
    return package == PACKAGE.name and rest.partition(".")[0] in NO_NUMBERS


@functools.cache
def _file_of(name: str) -> Path | None:
    """The file of a module; None where there is no such module, and for parts of installed packages, which are not imported."""
    top, inside, _ = name.partition(".")
    if inside and (origin := _file_of(top)) is not None and not is_own(str(origin)):
        return None
    known = sys.modules.get(name)
    if known is not None:
        file = getattr(known, "__file__", None)
        return Path(file) if file else None
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(found.origin) if found is not None and found.has_location and found.origin else None


class _Module(NamedTuple):
    """The names of the modules that a module may import, and the hash of its syntax tree."""

    imports: frozenset[str]
    hash: str


@functools.cache
def _read(name: str, path: Path) -> _Module:
    content = path.read_bytes()
    if path.suffix != ".py":
        return _Module(frozenset(), hashlib.sha256(content).hexdigest()[:16])
    tree = ast.parse(content, str(path))
    nodes = list(ast.walk(tree))
    imports = frozenset(_imported(name, nodes, path))
    _leave_out(nodes, name.startswith(f"{PACKAGE.name}.settings"))
    return _Module(imports, hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()[:16])


def _imported(name: str, nodes: Iterable[ast.AST], path: Path) -> Iterator[str]:
    """Names of modules that a module imports anywhere, and of what may be modules among what it imports from packages."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _leave_out(nodes: Iterable[ast.AST], of_settings: bool) -> None:
    """Takes docstrings out of a tree, and what classes say that may be set."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
                node.body = node.body[1:]
            if of_settings and isinstance(node, ast.ClassDef):
                node.body = [part for part in node.body if not isinstance(part, ast.AnnAssign)]


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples, without what is empty: of that, versions of Python have more or less."""
    if isinstance(node, list):
        return tuple(map(_plain, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return (type(node).__name__, *((name, _plain(value)) for name, value in parts))


@functools.cache
def _state(files: frozenset[Path]) -> str:
    """Whose files these are: those of a commit or of an installed version, as long as none of this package's is changed."""
    own = {path for path in files if PACKAGE in path.parents}
    top = _repository()
    head = _git("rev-parse", "--short=12", "HEAD") if top else None
    if top is None or head is None:
        return f"version {_version()}"
    status = _git("status", "--porcelain", "--untracked-files=all", "--", str(PACKAGE))
    changed = {top / line[3:].split(" -> ")[-1].strip('"') for line in (status or "").splitlines()}
    if status is None or changed & own:
        return EDITED
    return f"commit {head.strip()}"


@functools.cache
def _repository() -> Path | None:
    """Where the repository lies that has this package under version control."""
    tracked = _git("ls-files", "--error-unmatch", "__init__.py") is not None
    top = _git("rev-parse", "--show-toplevel") if tracked else None
    return Path(top.strip()) if top else None


def _git(*arguments: str) -> str | None:
    """What git says; None where it fails, or is missing."""
    try:
        done = subprocess.run(["git", "-C", str(PACKAGE), *arguments], check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _version() -> str:
    try:
        return metadata.version("auxgraph")
    except metadata.PackageNotFoundError:
        return "unknown"
