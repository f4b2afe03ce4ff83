"""Swagger UI: served whole by the server itself; that a browser shows it is in tests/web."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from support.live_servers import running_server
from support.model_repositories import write_model


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    repository = tmp_path_factory.mktemp("reference")
    write_model(repository, "colours")
    with running_server(repository) as server, httpx.Client(base_url=server.url) as client:
        yield client


def test_every_part_is_there_and_none_is_another_hosts(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    parts = re.findall(r"(?:src|href)=\"([^\"]+)\"|url: '([^']+)'", page.text)
    addresses = {one or other for one, other in parts}
    assert addresses == {"docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "web/icon.svg", "openapi.json"}
    for address in addresses:
        assert client.get(f"/{address}").status_code == 200, address
    assert "unsafe-eval" not in page.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2F__init__.py", ""])
def test_nothing_else_is_served_there(client: httpx.Client, name: str) -> None:
    response = client.get(f"/docs/{name}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
