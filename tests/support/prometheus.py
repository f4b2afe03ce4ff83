"""Debian's Prometheus, installed or extracted aside by ``make prometheus``: the server, and promtool."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

REQUIRED = "LAPS_TESTS_NEED_PROMETHEUS"
ROOT = Path(__file__).parents[2]
OBSERVE = ROOT / "deploy" / "observe"
_ASIDE = ROOT / "build" / "prometheus" / "usr" / "bin"
_TIMEOUT_S = 120


def program(name: str) -> str:
    """The path of prometheus or promtool; skips the test, by name, where it is not there."""
    found = shutil.which(name) or shutil.which(name, path=str(_ASIDE))
    if found is None:
        reason = "Prometheus is not installed here; make prometheus"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def promtool(*arguments: str | Path, read: str | None = None) -> None:
    """Have promtool check something, or what it is to ``read``; fails where it finds something wrong."""
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, input=read, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """A running one, asked over its HTTP API."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer."""
        answer = self._http.get(f"/api/v1/{path}", params=query).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[Mapping[str, Any]]:
        """What an expression is now: a sample for each set of labels."""
        found: list[Mapping[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def is_up(self) -> bool:
        """Whether it answers and has scraped."""
        try:
            if self._http.get("/-/ready").status_code != httpx.codes.OK:  # it answers before it is
                return False
            return any(sample["value"][1] == "1" for sample in self.query("up"))
        except httpx.TransportError:
            return False


@contextmanager
def running_prometheus(target: str, folder: Path) -> Iterator[Prometheus]:
    """Scrape ``target`` once a second, by the project's own configuration, while the context lasts."""
    with _scraping({"static_configs": [{"targets": [target]}]}, folder) as prometheus:
        yield prometheus


@contextmanager
def discovering_prometheus(url: str, folder: Path) -> Iterator[Prometheus]:
    """The same, of the targets that ``url`` lists."""
    with _scraping({"http_sd_configs": [{"url": url, "refresh_interval": "1s"}]}, folder) as prometheus:
        yield prometheus


@contextmanager
def _scraping(targets: Mapping[str, Any], folder: Path) -> Iterator[Prometheus]:
    config = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(OBSERVE / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    del job["static_configs"]
    job.update(targets)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder, "web.listen-address": address}
    command = [program("prometheus"), *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=60) as http:
            prometheus = Prometheus(http)
            deadline = time.monotonic() + _TIMEOUT_S
            while not prometheus.is_up():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.1)
            yield prometheus
    finally:
        process.terminate()
        process.wait(60)
