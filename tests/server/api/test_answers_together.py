"""One bound over the answers of all requests, as clients see it."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

from support.held_server import InProcess, in_process, until
from support.plain_videos import BLUE, RED, write_colour_video

QUERY = "segments=1s&views=1x1"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    return write_colour_video(path, [RED] * 15 + [BLUE] * 15).read_bytes()


def post(server: InProcess, content: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/classify?{QUERY}", content=content, timeout=60)


@pytest.fixture(scope="module")
def answer_bytes(repository: Path, content: bytes) -> int:
    """What the server reckons for one such answer."""
    with in_process(repository) as server:
        server.engine.go_on.clear()
        asking = threading.Thread(target=post, args=(server, content))
        asking.start()
        until(lambda: server.runtime.answers.used_bytes > 0)
        found = server.runtime.answers.used_bytes
        server.engine.go_on.set()
        asking.join()
        until(lambda: server.runtime.answers.used_bytes == 0)
    return found


def test_an_answer_that_does_not_fit_beside_anothers_is_refused(
    repository: Path, content: bytes, answer_bytes: int
) -> None:
    with in_process(repository, max_answers_bytes=answer_bytes * 3 // 2) as server:
        server.engine.go_on.clear()
        first: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: first.append(post(server, content)))
        asking.start()
        until(lambda: server.runtime.answers.used_bytes > 0)
        refused = post(server, content)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        server.engine.go_on.set()
        asking.join()
        assert first[0].status_code == 200, "who had its share keeps it"
        until(lambda: server.requests == 0)
        assert post(server, content).status_code == 200


def test_an_answer_that_never_fits_says_what_would(repository: Path, content: bytes, answer_bytes: int) -> None:
    with in_process(repository, max_answers_bytes=answer_bytes - 1) as server:
        refused = post(server, content)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_parameter")
        assert "segments" in refused.json()["error"]["hint"]
