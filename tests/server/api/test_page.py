"""The page as a server hands it out; what it does in a browser is in tests/web."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from laps_server.api.page import WEB
from support.live_servers import running_server
from support.model_repositories import write_model


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    repository = tmp_path_factory.mktemp("page")
    write_model(repository, "colours")
    with running_server(repository) as server, httpx.Client(base_url=server.url) as client:
        yield client


def linked(client: httpx.Client) -> set[str]:
    """Every address that the page or a module of it names, as the browser resolves it."""
    found: set[str] = set()
    waiting = ["/"]
    while waiting:
        at = waiting.pop()
        text = client.get(at).text
        pattern = r"(?:from|import) \'([^\']+)\'" if at.endswith(".js") else r'(?:href|src)="([^"#]+)"'
        for target in re.findall(pattern, text):
            address = urljoin(at, target)
            if address not in found:
                found.add(address)
                if address.startswith("/web/"):
                    waiting.append(address)
    return found


def test_every_part_that_the_page_names_is_there_with_its_type(client: httpx.Client) -> None:
    types = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    parts = linked(client)
    assert {"/docs", "/openapi.json", "/models"} <= parts
    for address in parts:
        response = client.get(address)
        assert response.status_code == 200, address
        if address.startswith("/web/"):
            assert response.headers["content-type"].startswith(types[Path(address).suffix]), address


def test_no_part_is_left_over_and_none_names_another_host(client: httpx.Client) -> None:
    parts = {address.removeprefix("/web/") for address in linked(client) if address.startswith("/web/")}
    files = {file.relative_to(WEB).as_posix() for file in WEB.rglob("*") if file.is_file()}
    assert files == parts | {"index.html"}
    for file in files:
        addresses = re.findall(r"https?://[^\s'\"<>)]+", (WEB / file).read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, file  # the name of SVG's namespace


@pytest.mark.parametrize("address", ["/", "/web/js/app.js", "/web/css/theme.css"])
def test_parts_may_load_nothing_from_elsewhere_and_are_asked_for_anew(client: httpx.Client, address: str) -> None:
    headers = client.get(address).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    allowed = {source for sources in policy.values() for source in sources.split()}
    assert allowed == {"'none'", "'self'", "data:", "blob:"}
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", {tag}'])
def test_a_part_that_did_not_change_is_not_sent_again(client: httpx.Client, known: str) -> None:
    first = client.get("/web/js/app.js")
    tag = first.headers["etag"]
    again = client.get("/web/js/app.js", headers={"if-none-match": known.format(tag=tag)})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert client.get("/web/js/app.js", headers={"if-none-match": '"other"'}).content == first.content


def test_head_tells_the_same_without_a_body(client: httpx.Client) -> None:
    head, full = client.head("/"), client.get("/")
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-length", "content-type", "etag"):
        assert head.headers[name] == full.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web/nothing.js",
        "/web/../api/page.py",
        "/web/%2e%2e/api/page.py",
        "/web/..%2fapi%2fpage.py",
        "/web/js",
    ],
)
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_the_page_takes_no_other_method(client: httpx.Client) -> None:
    response = client.post("/")
    assert response.status_code == 405
    assert response.json()["error"]["code"] == "method_not_allowed"


def test_the_page_is_no_part_of_the_api_document(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert "/classify" in paths
    assert not {path for path in paths if path == "/" or path.startswith("/web")}
