"""The exporter's wings: which imports which, and that a family's facts stay in its folder. Read from the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import get_args

import pytest

from laps_export.families import registry
from laps_export.families.family import SamplingRule

PACKAGE = "laps_export"
SOURCE = Path(__file__).parents[2] / "export" / "src" / PACKAGE

# Every arrow there is. A new one is a decision: write it here, and see that none leads back.
ARROWS = {
    "families": {"fetch", "errors"},
    "fetch": {"errors", "progress"},
    "data": {"errors"},
    "checkpoint": {"families", "errors"},
    "graph": {"families", "errors", "progress"},
    "repository": {"families", "checkpoint", "graph", "errors", "progress"},
    "tensorrt": {"families", "graph", "repository", "errors", "progress"},
    "train": {"families", "data", "checkpoint", "repository", "errors", "progress"},
    "cli": {
        *("families", "fetch", "checkpoint", "graph", "repository", "tensorrt", "data", "train"),
        *("errors", "progress"),
    },
    "errors": set[str](),
    "progress": set[str](),
}


def module_name(file: Path, source: Path) -> str:
    parts = file.relative_to(source).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(file: Path, modules: set[str]) -> Iterator[str]:
    """Modules of the package, without its name, that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            inner = name.removeprefix(f"{PACKAGE}.")
            if inner != name:
                # A module, or a name in one.
                yield inner if inner in modules else inner.rpartition(".")[0]


def imports_of(source: Path) -> dict[str, set[str]]:
    """Each module to those it imports; the package itself, which has but a version, is left out."""
    files = {module_name(file, source): file for file in source.rglob("*.py")}
    modules = set(files)
    return {name: set(imported(file, modules)) - {""} for name, file in files.items() if name}


def arrows_between_wings(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    arrows: dict[str, set[str]] = {name.partition(".")[0]: set() for name in imports}
    for name, others in imports.items():
        wing = name.partition(".")[0]
        arrows[wing] |= {other.partition(".")[0] for other in others} - {wing}
    return arrows


def test_wings_import_each_other_as_the_table_says() -> None:
    assert arrows_between_wings(imports_of(SOURCE)) == ARROWS


def test_no_arrow_leads_back() -> None:
    imports = imports_of(SOURCE)
    assert list(TopologicalSorter(arrows_between_wings(imports)).static_order())
    assert len(imports) > 60
    assert list(TopologicalSorter(imports).static_order()), "nor between modules of one wing"


def test_a_circle_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    (tmp_path / "families").mkdir()
    (tmp_path / "graph" / "export.py").write_text("from laps_export.families.family import Family\n")
    (tmp_path / "families" / "family.py").write_text("def late():\n    from laps_export.graph import export\n")
    arrows = arrows_between_wings(imports_of(tmp_path))
    assert arrows == {"graph": {"families"}, "families": {"graph"}}
    with pytest.raises(CycleError):
        list(TopologicalSorter(arrows).static_order())


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_a_family_is_imported_by_the_table_alone(family: str) -> None:
    folder = f"families.{family}"
    importers = {
        name
        for name, others in imports_of(SOURCE).items()
        if not f"{name}.".startswith(f"{folder}.") and any(f"{other}.".startswith(f"{folder}.") for other in others)
    }
    assert importers == {"families.registry"}


def written(tree: ast.AST) -> Iterator[str]:
    """Identifiers and texts of a module; not what documents it."""
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


def facts_of(name: str) -> set[str]:
    """Words that only this family's folder may write."""
    family = registry.FAMILIES[name]
    classes = {name.capitalize(), f"{name.capitalize()}Config"}
    return {
        family.name,
        family.serving.sampling[0],
        family.output.value,
        family.names.prefix,
        *family.variants,
    } | classes


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_a_familys_facts_stand_in_its_folder_alone(family: str) -> None:
    words = "|".join(map(re.escape, sorted(facts_of(family), key=len, reverse=True)))
    # `laps-export`, `laps_export` and `laps.json` are the project's names, not the family's.
    fact = re.compile(rf"(?<![\w.-])(?:{words})(?![\w-]|\.json)")
    folder = SOURCE / "families" / family
    # What servers know is listed once, for all families.
    names_of_rules = {("family.py", rule) for rule in get_args(SamplingRule)}
    found = {
        f"{file.relative_to(SOURCE)}: {text}"
        for file in SOURCE.rglob("*.py")
        if folder not in file.parents
        for text in written(ast.parse(file.read_text()))
        if fact.search(text) and (file.name, text) not in names_of_rules
    }
    assert found == set()
    inside = {text for file in folder.rglob("*.py") for text in written(ast.parse(file.read_text()))}
    assert any(fact.search(text) for text in inside), "the search finds what is there"
