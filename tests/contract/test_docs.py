"""Reference pages say what the code says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FOLDERS = (
    "server",
    "export",
    "clients",
    "tests",
    "deploy",
    "docs",
    "bench",
    "docker",
    "examples",
    "model_repository",
    ".ci",
)
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *DECISIONS]
PAGES += [ROOT / folder / "README.md" for folder in ("server", "export", "clients/python", "model_repository")]
# Files that a page tells its reader to write, or that a command writes.
MADE_BY_THE_READER = {"scores.py", "curve.py", "labels.txt", "more", "dist", "build", "bench/results"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("docs")
    write_model(repository, "camera-motion")
    with running_server(repository) as server:
        yield server


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", list(generator().WRITTEN))
def test_what_is_generated_is_up_to_date(path: str) -> None:
    text: str = generator().WRITTEN[path]()
    assert (ROOT / path).read_text() == text, "run: make docs"


def test_the_api_page_describes_whatever_it_names() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    headings = set(re.findall(r"^#+ (.+)$", page, re.MULTILINE))
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors
    document = generator().openapi_document()
    assert {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods} <= headings
    assert set(document["components"]["schemas"]) <= headings


def test_the_api_page_says_what_every_field_means() -> None:
    schemas = (ROOT / "docs" / "api.md").read_text().partition("\n## Schemas\n")[2]
    rows = re.findall(r"^\| `\w+` \|.*$", schemas, re.MULTILINE)
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_api_page_has_every_route_that_a_wrong_path_is_told_of(served: ServerProcess) -> None:
    hint = httpx.get(f"{served.url}/nothing").json()["error"]["hint"]
    listed = re.findall(r"^\| \[?`([A-Z]+ \S+)`", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert set(hint.split(", ")) <= set(listed)
    assert "GET /" in listed


def test_each_request_of_the_api_page_is_answered(served: ServerProcess) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    sections = dict(re.findall(r"^## ([A-Z]+ \S+)\n.*?^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(generator().EXAMPLES)
    for route, command in sections.items():
        here = command.replace("curl", "curl --fail").replace("http://127.0.0.1:8000", served.url)
        done = subprocess.run(["bash", "-c", here], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{route}: {done.stderr}"
        assert done.stdout.startswith("{"), route


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"no {target}"
        if anchor:
            assert anchor in anchors(file), f"{name or page.name} has no heading for #{anchor}"


def anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked by."""
    make: Callable[[str], str] = generator()._anchor
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {make(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.fixture(scope="module")
def ends() -> set[str]:
    """Every path of the project, and every end of one that begins with a name: ``video/decode.py``."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    parts = [path.relative_to(ROOT).parts for path in [*paths, *ROOT.iterdir()]]
    return {"/".join(names[start:]) for names in parts for start in range(len(names))}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_that_a_page_names_are_there(page: Path, ends: set[str]) -> None:
    named = {path.rstrip("/") for path in paths_named_in(page.read_text()) if "NAME" not in path.split("/")}
    assert named - ends - MADE_BY_THE_READER == set()


_SOURCE = re.compile(r"[\w.-][\w./-]*(?:\.(?:py|js|css|html|toml|ya?ml|md|txt|env)|/)")


def paths_named_in(text: str) -> set[str]:
    """In code spans what ends like a source file or a folder; in blocks for a shell what begins with one of ours."""
    fenced = "\n".join(re.findall(r"^```(?:sh|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    words = re.findall(r"[\w./-]+", "\n".join([fenced, *spans]))
    ours = {word.rstrip(".") for word in words if "/" in word and word.partition("/")[0] in FOLDERS}
    return {span for span in spans if _SOURCE.fullmatch(span)} | {path for path in ours if not _made(path)}


def _made(path: str) -> bool:
    """Whether an export writes it: a page may name a model that its reader brings."""
    first, _, rest = path.partition("/")
    return first == "model_repository" and rest.partition("/")[0] not in {"camera-motion", "camera-motion-base2d", ""}


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    listed = set(re.findall(r"^\| \[[^\]]*\]\(([\w-]+\.md)\)", index, re.MULTILINE))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_index_of_decisions_lists_every_decision_by_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^\| \[([^\]]*)\]\(([\w-]+\.md)\)", (folder / "README.md").read_text(), re.MULTILINE)
    titles = {page.name: page.read_text().splitlines()[0] for page in folder.glob("*.md") if page.name != "README.md"}
    assert sorted((name, f"# {title}") for title, name in listed) == sorted(titles.items())


@pytest.mark.parametrize("page", [page for page in DECISIONS if page.name != "README.md"], ids=name_of)
def test_a_decision_says_what_led_to_it_and_what_was_measured(page: Path) -> None:
    found = re.findall(r"^\*\*(\w+)\.\*\*", page.read_text(), re.MULTILINE)
    assert found == ["Context", "Decision", "Consequences", "Measured"]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
