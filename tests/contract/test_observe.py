"""deploy/observe: what Prometheus and Grafana are given fits the server's metrics, the runbook and the compose file."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.live_servers import running_server
from support.model_repositories import write_model
from support.plain_videos import RED, write_colour_video
from support.prometheus import OBSERVE, ROOT, promtool, running_prometheus

_CASES = ROOT / "tests" / "data" / "alerts_test.yml"
_RATE_INTERVAL = "20s"  # what Grafana puts in for $__rate_interval; here a few scrapes of a second


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    groups = yaml.safe_load((OBSERVE / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((OBSERVE / "grafana" / "dashboards" / "laps.json").read_text())
    return loaded


def expressions() -> list[str]:
    """Every query of the dashboard, its variables filled in."""
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [text.replace("$__rate_interval", _RATE_INTERVAL).replace("$instance", ".*") for text in found]


# Files alone ------------------------------------------------------------------------------------------


def test_every_alert_has_a_section_in_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n\n(.+?)(?=^#|\Z)", page, flags=re.MULTILINE | re.DOTALL))
    assert set(alerts()) == {name for name in sections if name.startswith("Laps")}
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_is_tried_where_it_fires_and_where_it_does_not() -> None:
    cases = [case for test in yaml.safe_load(_CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    for fires in (True, False):
        assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires} == set(alerts())


def test_the_profile_mounts_what_is_there_for_this_machine_alone() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    observing = {name: service for name, service in services.items() if service.get("profiles") == ["observe"]}
    assert set(observing) == {"prometheus", "grafana"}
    for service in observing.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert all((ROOT / mount.split(":")[0]).exists() for mount in service["volumes"])
        assert service["networks"] == ["outside"]
    (job,) = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert services[host]["ports"][0].endswith(f":{port}")
    assert "outside" in services[host]["networks"]


def test_grafana_finds_its_dashboard_and_its_source() -> None:
    grafana = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    inside = dict(reversed(mount.split(":")[:2]) for mount in grafana["volumes"])
    provisioning = OBSERVE / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "laps.yml").read_text())["providers"]
    assert (ROOT / inside[provider["options"]["path"]] / "laps.json").exists()
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    panels = dashboard()["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)


# With Prometheus --------------------------------------------------------------------------------------


def test_promtool_finds_nothing_wrong_and_the_alerts_do_what_they_should() -> None:
    promtool("check", "config", OBSERVE / "prometheus.yml")
    promtool("test", "rules", _CASES)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("observe")
    write_model(home / "models", "colours")
    write_colour_video(home / "clip.mp4", [RED] * 20)
    return home


def test_a_real_server_gives_data_to_every_query_and_no_alert(home: Path, tmp_path: Path) -> None:
    video = (home / "clip.mp4").read_bytes()
    with (
        running_server(home / "models") as server,
        running_prometheus(server.url.removeprefix("http://"), tmp_path) as prometheus,
    ):
        # Rates need two scrapes: requests go on until each query has data.
        missing = expressions()
        assert len(missing) > 20
        deadline = time.monotonic() + 120
        while missing and time.monotonic() < deadline:
            assert httpx.post(f"{server.url}/classify", content=video, timeout=60).status_code == 200
            missing = [text for text in missing if not with_numbers(prometheus.query(text))]
        assert missing == []
        promtool("check", "metrics", read=httpx.get(f"{server.url}/metrics").text)  # names and units
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == set(alerts())
        assert {rule["health"] for rule in rules} == {"ok"}
        assert prometheus.get("alerts")["alerts"] == []


def with_numbers(result: list[Any]) -> bool:
    return bool(result) and all(sample["value"][1] != "NaN" for sample in result)
