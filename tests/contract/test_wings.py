"""The exporter's wings: which imports which, and that a family's facts stay in its folder. Read from the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import get_args

import pytest

from laps_export.families import registry
from laps_export.families.family import Family, SamplingRule
from support.toy_family import TOY

PACKAGE = "laps_export"
SOURCE = Path(__file__).parents[2] / "export" / "src" / PACKAGE

# Every arrow there is. A new one is a decision: write it here, and see that none leads back.
ARROWS = {
    "families": {"fetch", "errors", "onnx_runtime"},
    "fetch": {"errors", "progress"},
    "data": {"errors"},
    "checkpoint": {"families", "errors"},
    "graph": {"families", "errors", "progress", "onnx_runtime"},
    "repository": {"families", "checkpoint", "graph", "errors", "progress"},
    "tensorrt": {"families", "graph", "repository", "errors", "progress"},
    "quantize": {"graph", "repository", "errors", "progress", "onnx_runtime"},
    "train": {"families", "data", "checkpoint", "repository", "errors", "progress"},
    "cli": {
        *("families", "fetch", "checkpoint", "graph", "repository", "tensorrt", "quantize", "data", "train"),
        *("errors", "progress"),
    },
    "errors": set[str](),
    "progress": set[str](),
    "onnx_runtime": set[str](),
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


def written(tree: ast.AST, *, texts_alone: bool) -> Iterator[str]:
    """Texts of a module and its identifiers; not what documents it."""
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value
        elif texts_alone:
            continue
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


def facts_of(family: Family) -> set[str]:
    """Words that only this family's folder may write; a rule of sampling may be named after a network."""
    classes = {f"{family.name.title().replace('_', '')}{kind}" for kind in ("", "Config")}
    return {family.name, *family.variants, *classes} - {*get_args(SamplingRule)}


def served_as(family: Family) -> set[str]:
    """Words that families share, as rules of sampling and what the same authors put before names.

    Only they may write them, and what trains a model of its own.
    """
    # A prefix of one word is what a sentence may end with: "model."
    prefix = family.names.prefix if family.names.prefix.count(".") > 1 else ""
    return {family.serving.sampling[0], family.output.value, prefix} - {""}


def writers(words: set[str], *, but: Sequence[Path], texts_alone: bool = False) -> set[str]:
    """The modules outside of these places that write one of the words, each with the text or the name."""
    one_of = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    # `laps-export`, `laps_export` and `laps.json` are the project's names, not the family's.
    fact = re.compile(rf"(?<![\w.-])(?:{one_of})(?![\w-]|\.json)")
    return {
        f"{file.relative_to(SOURCE)}: {text}"
        for file in SOURCE.rglob("*.py")
        if not {file, *file.parents} & {*but}
        for text in written(ast.parse(file.read_text()), texts_alone=texts_alone)
        if fact.search(text)
    }


@pytest.mark.parametrize("family", [*registry.FAMILIES.values(), TOY], ids=lambda family: family.name)
def test_a_familys_facts_stand_in_its_folder_alone(family: Family) -> None:
    families = SOURCE / "families"
    assert writers(facts_of(family), but=[families / family.name]) == set()
    assert (
        writers(served_as(family), but=[families, SOURCE / "train" / "training_settings.py"], texts_alone=True) == set()
    )


@pytest.mark.parametrize("family", registry.FAMILIES.values(), ids=lambda family: family.name)
def test_the_search_for_a_familys_facts_finds_what_is_there(family: Family) -> None:
    assert writers(facts_of(family), but=[])
    assert writers({family.serving.sampling[0]}, but=[])
