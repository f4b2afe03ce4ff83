"""Reference pages say what the code says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from support.live_servers import ServerProcess, running_server
from support.model_repositories import write_model

ROOT = Path(__file__).parents[2]


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


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
