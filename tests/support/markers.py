"""Markers that a test gets by what it reaches, so that no file has to say it and none can forget to.

Two readings, since they come at different times. Before a file is imported: the files that it imports, and those that
they import, tell whether torch comes along; loading it takes longer than many tests. After that: a test and its
fixtures, and the functions of the tests that they call, tell whether a process or a browser is started.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

MARKERS = {
    "server": "starts a process or serves on a port",
    "browser": "looks at the page with Chromium",
    "torch": "loads torch, as most of the exporter does",
    "triton": "runs a real Triton",
    "long": "takes minutes on two cores; run by a make target of its own",
    "noisy": "provokes what the browser itself complains of",
}
IMPURE = ("server", "browser", "torch", "triton", "long")
"""A test with none of them is pure: it stays in this process, and is quick."""

_ROOT = Path(__file__).parents[2]
_TESTS = _ROOT / "tests"
_PACKAGES = {
    "support": _TESTS / "support",
    "laps_server": _ROOT / "server" / "src" / "laps_server",
    "laps_export": _ROOT / "export" / "src" / "laps_export",
    "laps_client": _ROOT / "clients" / "python" / "src" / "laps_client",
}

# Who reaches one of these modules, by any of its functions, needs what it stands for.
_BY_MODULE = {
    "subprocess": "server",
    "socketserver": "server",
    "support.live_servers": "server",
    "support.flaky_server": "server",
    "support.dying_connections": "server",
    "support.i3d_archive": "server",  # which may fetch it
    "support.package_index": "server",
    "support.browser": "browser",
    "support.real_triton": "triton",
}
TOOLS = ("ffmpeg", "dpkg-query")
"""Programs, and functions that run them, which end at once: tests that use them stay pure."""

_BY_NAME = dict.fromkeys(("create_server", "start_server", "Popen", "read_pip_settings", "SandboxPool"), "server")
_FOLLOWED = (types.ModuleType, types.FunctionType, type)


@cache
def loads_torch(file: Path) -> bool:
    """Whether importing a file of the project imports torch, as far as its import statements tell."""
    return _imports_torch(file, set())


def _imports_torch(file: Path, seen: set[Path]) -> bool:
    seen.add(file)
    for module in _imported(file):
        if module.partition(".")[0] == "torch":
            return True
        if any(part not in seen and _imports_torch(part, seen) for part in _files(module)):
            return True
    return False


@cache
def _imported(file: Path) -> frozenset[str]:
    """Modules that a file imports whenever it is imported itself; names of a module count as modules too."""
    modules: set[str] = set()
    todo: list[ast.stmt] = list(ast.parse(file.read_bytes()).body)
    while todo:
        statement = todo.pop()
        if isinstance(statement, ast.Import):
            modules.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            modules.add(statement.module)
            modules.update(f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.Try):
            todo += statement.body
    return frozenset(modules)


@cache
def _files(module: str) -> tuple[Path, ...]:
    """The project's files that importing a module runs: its own and those of the packages around it."""
    package, *parts = module.split(".")
    if package not in _PACKAGES:
        return ()
    stems = (_PACKAGES[package].joinpath(*parts[:end]) for end in range(len(parts) + 1))
    files = (file for stem in stems for file in (stem / "__init__.py", stem.with_suffix(".py")))
    return tuple(file for file in files if file.is_file())


def reached(functions: Iterable[object]) -> set[str]:
    """Markers for what functions of the tests use, themselves or by functions and classes of the tests."""
    markers: set[str] = set()
    todo, seen = list(functions), set[int]()
    while todo:
        item = todo.pop()
        if id(item) not in seen:
            seen.add(id(item))
            own, used = _uses(item)
            markers |= own
            todo += used
    return markers


@cache
def _uses(item: object) -> tuple[frozenset[str], tuple[object, ...]]:
    """Markers for what a module, a class or a function is, and what of the tests it leads to."""
    name = item.__name__ if isinstance(item, types.ModuleType) else getattr(item, "__module__", None)
    if name in _BY_MODULE:
        return frozenset({_BY_MODULE[name]}), ()
    if getattr(item, "__name__", None) in TOOLS:
        return frozenset(), ()
    if isinstance(item, type) and item.__module__.startswith(("support.", "tests.")):
        return frozenset(), tuple(filter(callable, vars(item).values()))
    function = getattr(item, "__wrapped__", item)
    if not isinstance(function, types.FunctionType) or not function.__code__.co_filename.startswith(f"{_TESTS}/"):
        return frozenset(), ()
    names = set(_names(function.__code__))
    markers = {_BY_NAME[name] for name in names & _BY_NAME.keys()} | {"torch" for name in names if _is_torch(name)}
    values = (function.__globals__[name] for name in names if name in function.__globals__)
    return frozenset(markers), tuple(value for value in values if isinstance(value, _FOLLOWED))


def _is_torch(name: str) -> bool:
    """Whether a name, of a module where a function imports it, stands for torch or what loads it."""
    return name == "torch" or ("." in name and any(map(loads_torch, _files(name))))


def _names(code: types.CodeType) -> Iterator[str]:
    """What a function's code, and the functions inside it, ask for by name."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
