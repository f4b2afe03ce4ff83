"""docker-compose.yml, Dockerfile and gpu.env keep what they promise, read as text: no engine is needed."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from laps_export.families.laps.variants import VARIANTS
from laps_server.settings import Settings

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_UNITS = {"m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30}
_SECURED = ["server", "triton", "prometheus", "grafana"]


def compose(**variables: str) -> dict[str, Any]:
    """The file with its variables filled in, as Compose does it; services of a profile included."""

    def fill(match: re.Match[str]) -> str:
        return variables.get(match[1]) or match[2] or ""

    loaded: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(fill, (ROOT / "docker-compose.yml").read_text()))
    return loaded


def gpu_env() -> dict[str, str]:
    lines = (ROOT / "gpu.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def size_of(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def seconds_of(text: str) -> int:
    return int(text.removesuffix("s"))


def instructions() -> list[str]:
    """The Dockerfile's instructions, continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_a_cpu_alone_is_served_with_nothing_else_needed() -> None:
    services = compose()["services"]
    assert [name for name, service in services.items() if "profiles" not in service] == ["server"]
    server = services["server"]
    assert server["build"]["target"] == "cpu"
    assert server["environment"]["LAPS_ENGINE"] == "auto"
    assert server["ports"] == ["127.0.0.1:8000:8000"]
    assert "./model_repository:/models:ro" in server["volumes"]
    assert "depends_on" not in server


def keys_file() -> dict[str, Any]:
    """What is added to the compose file where keys are needed."""
    text = _VARIABLE.sub(lambda match: match[2] or "", (ROOT / "docker" / "keys.yml").read_text())
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.mark.parametrize("variables", [{}, gpu_env()], ids=["cpu", "gpu"])
def test_whoever_needs_no_key_has_to_be_on_this_machine(variables: dict[str, str]) -> None:
    server = compose(**variables)["services"]["server"]
    assert server["environment"]["LAPS_ALLOW_ANONYMOUS"] == "true"
    assert server["ports"] == ["127.0.0.1:8000:8000"]
    # An image alone, published anywhere, answers nobody unasked.
    assert not [line for line in instructions() if "LAPS_ALLOW_ANONYMOUS" in line]
    runs = re.findall(r"docker run (?:\\\n|[^\n])*", deploy_page())
    assert runs
    assert all("LAPS_ALLOW_ANONYMOUS=true" in run and "--publish 127.0.0.1:" in run for run in runs)


def test_with_the_file_of_keys_nobody_is_answered_without_one() -> None:
    added = keys_file()
    server, keys = added["services"]["server"], added["services"]["keys"]
    assert server["environment"] == {"LAPS_KEYS_FILE": "/keys/keys.json", "LAPS_ALLOW_ANONYMOUS": "false"}
    assert keys["environment"]["LAPS_KEYS_FILE"] == server["environment"]["LAPS_KEYS_FILE"]
    assert (server["volumes"], keys["volumes"]) == (["keys:/keys:ro"], ["keys:/keys"])
    assert keys["profiles"], "it runs when it is asked for"
    base = compose()["services"]["server"]
    for name in ("user", "image", "read_only", "cap_drop", "security_opt"):
        assert keys[name] == base[name], name
    # Where the volume lies belongs to that user, in both images.
    made = "RUN install --directory --owner 10001 --group 10001 /keys"
    assert [line for line in instructions() if line.startswith(("RUN install", "FROM", "USER"))].count(made) == 2


def test_the_trained_network_is_made_in_the_build_and_served_first() -> None:
    server = compose()["services"]["server"]
    assert server["build"]["args"]["KINETICS"] in (1, "1")
    assert server["environment"]["LAPS_DEFAULT_MODEL"].split(",") == ["i3d-kinetics400", "camera-motion"]
    # What is mounted wins over what the image carries.
    assert server["environment"]["LAPS_MODEL_REPOSITORY"].split(":") == ["/models", "/opt/laps/models"]
    (made,) = (line for line in instructions() if "laps-export fetch" in line)
    assert re.search(r"\[ \"\$KINETICS\" != 0 \].*fetch i3d-kinetics400 --optional --repository /opt/laps/models", made)
    # Only what lies in /opt/laps goes on from the stage that builds.
    exporter = re.search(r"python -m venv (\S+)", made)
    assert exporter is not None
    assert not exporter[1].startswith("/opt/laps/")
    assert all(exporter[1] not in line for line in instructions() if line.startswith("COPY"))
    carried = "LAPS_MODEL_REPOSITORY=/models:/opt/laps/models"
    assert sum(carried in line for line in instructions()) == 2


def test_the_profile_with_its_variables_adds_triton_and_points_the_gateway_at_it() -> None:
    loaded = compose(**gpu_env())
    server, triton = loaded["services"]["server"], loaded["services"]["triton"]
    assert triton["profiles"] == ["gpu"]
    assert server["environment"]["LAPS_ENGINE"] == "triton"
    # Triton sees what is mounted and no more.
    assert server["environment"]["LAPS_MODEL_REPOSITORY"] == "/models"
    assert triton["volumes"] == server["volumes"]
    host, port = re.fullmatch(r"grpc://(\w+):(\d+)", server["environment"]["LAPS_TRITON_URL"]).groups()  # type: ignore[union-attr]
    assert host in loaded["services"]
    assert f"--grpc-port={port}" in triton["command"]
    assert triton["image"] == gpu_env()["TRITON_IMAGE"]
    assert triton["networks"] == ["inference"]
    assert "inference" in server["networks"]
    assert loaded["networks"]["inference"]["internal"] is True
    assert "ports" not in triton
    assert triton["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", _SECURED)
def test_services_can_do_little(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert service["pids_limit"] > 0
    assert size_of(service["mem_limit"]) > 0
    assert service["restart"] == "unless-stopped"
    assert [mount for mount in service["volumes"] if not mount.endswith(":ro")] == []
    assert all("size=" in mount for mount in service["tmpfs"])
    assert "privileged" not in service


def test_no_request_is_cut_off_by_a_stop() -> None:
    server = compose()["services"]["server"]
    drain_s = float(server["environment"]["LAPS_DRAIN_TIMEOUT_S"])
    assert seconds_of(server["stop_grace_period"]) >= drain_s + 10


def test_memory_holds_what_the_mounts_may_take() -> None:
    server = compose()["services"]["server"]
    uploads = size_of(re.search(r"size=(\w+)", server["tmpfs"][0])[1])  # type: ignore[index]
    assert uploads >= 4 * Settings.model_fields["max_upload_bytes"].default
    assert size_of(server["mem_limit"]) >= uploads + size_of(server["shm_size"]) + 2 * 2**30


def test_shared_memory_is_sized_by_the_views_of_the_largest_model() -> None:
    config = VARIANTS["laps_e"].config
    view = config.frames * config.resolution**2 * 3
    assert 15 * view == pytest.approx(187e6, rel=0.01), "as compose file and docs/deploy.md say"
    settings = Settings(engine="triton", triton_url="grpc://triton:8001")
    a_model = settings.triton_concurrency * max(settings.batch_sizes) * view
    assert a_model == pytest.approx(199e6, rel=0.01), "as compose file and docs/deploy.md say"
    services = compose()["services"]
    assert math.floor(size_of(services["server"]["shm_size"]) / a_model) == 5
    assert services["server"]["ipc"] == "shareable"
    assert services["triton"]["ipc"] == "service:server"
    assert services["triton"]["user"] == services["server"]["user"], "shared memory belongs to its maker"


def test_environment_names_are_settings() -> None:
    known = {f"LAPS_{name.upper()}" for name in Settings.model_fields}
    dockerfile = "\n".join(instructions())
    used = {name for file in (compose(), keys_file()) for name in file["services"]["server"]["environment"]}
    used |= set(re.findall(r"LAPS_[A-Z_]+(?==)", dockerfile))
    assert used <= known


def test_the_file_loads_in_both_generations_of_compose() -> None:
    loaded = compose()
    assert set(loaded) == {"services", "networks"}
    # Compose 1 hands a variable that it does not find to the builder as an empty one; a mapping has a default instead.
    assert isinstance(loaded["services"]["server"]["build"]["args"], dict)
    # Compose 1 knows neither `required` nor any other form of an absent dependency.
    assert all("depends_on" not in service for service in loaded["services"].values())


def test_the_dockerfile_needs_no_buildkit() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "syntax=" not in text
    for line in instructions():
        assert not re.search(r"--(mount|chmod|link|network|security)\b", line), line
        assert "<<" not in line


def test_stages_of_the_gpu_come_after_those_of_the_cpu_which_is_the_default() -> None:
    stages = [re.fullmatch(r"FROM (\S+) AS (\S+)", line) for line in instructions() if line.startswith("FROM")]
    assert [(stage[1], stage[2]) for stage in stages if stage] == [
        ("${PYTHON_IMAGE}", "build"),
        ("${PYTHON_IMAGE}", "cpu"),
        ("build", "build-gpu"),
        ("${CUDA_IMAGE}", "gpu"),
        ("cpu", "default"),
    ]
    assert instructions()[0] == "ARG PYTHON_IMAGE=python:3.11-slim-bookworm"
    bodies = re.split(r"^FROM .*$", "\n".join(instructions()), flags=re.MULTILINE)[1:]
    for body in (bodies[1], bodies[3]):
        assert re.findall(r"^USER (.*)$", body, flags=re.MULTILINE) == ["10001:10001"]
        assert "HEALTHCHECK" in body
        assert "org.opencontainers.image.licenses" in body
        assert "apt-get" not in body


def test_defaults_of_compose_and_dockerfile_are_one() -> None:
    args = compose()["services"]["server"]["build"]["args"]
    for name in ("PYTHON_IMAGE", "CUDA_IMAGE"):
        assert f"ARG {name}={args[name]}" in instructions()


def test_only_what_the_image_is_made_of_travels_to_the_builder() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    copied = [line.split() for line in instructions() if line.startswith("COPY") and "--from" not in line]
    sources = {source for words in copied for source in words[1:-1]}
    assert sources == set(allowed)
    assert all((ROOT / source).exists() for source in sources)


def deploy_page() -> str:
    return (ROOT / "docs" / "deploy.md").read_text()


def test_the_pod_of_the_deployment_page_is_what_kubernetes_wants() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", deploy_page(), flags=re.DOTALL)
    spec = yaml.safe_load(text)["spec"]
    (container,) = spec["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert {name.removeprefix("LAPS_").lower() for name in env} <= set(Settings.model_fields)
    notice_s, drain_s = float(env["LAPS_DRAIN_NOTICE_S"]), float(env["LAPS_DRAIN_TIMEOUT_S"])
    assert spec["terminationGracePeriodSeconds"] >= notice_s + drain_s + 10
    readiness = container["readinessProbe"]
    assert notice_s > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert readiness["httpGet"]["path"] == "/readyz"
    assert env["LAPS_THREADS"] == container["resources"]["limits"]["cpu"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    assert spec["securityContext"]["runAsUser"] == 10001


def test_every_variable_of_the_compose_file_is_on_the_deployment_page() -> None:
    used = {match[0] for match in _VARIABLE.findall((ROOT / "docker-compose.yml").read_text())}
    building = {"LAPS_IMAGE", "LAPS_TARGET"}
    assert {name for name in used if f"`{name}`" not in deploy_page()} <= building
    assert set(gpu_env()) <= used


@pytest.mark.parametrize("name", ["laps", "laps_l", "laps_h", "laps_e"])
def test_bytes_a_view_are_those_of_the_models(name: str) -> None:
    config = VARIANTS[name].config
    view = config.frames * config.resolution**2 * 3
    clip = f"{config.frames} x {config.resolution} x {config.resolution}"
    assert f"| {name} | {clip} | {view / 1e6:.2f} MB | {15 * view / 1e6:.1f} MB |" in deploy_page()


def test_triton_and_the_plans_builder_are_of_one_release() -> None:
    release = gpu_env()["TRITON_IMAGE"].rpartition(":")[2]
    builders = (ROOT / "export" / "src" / "laps_export" / "tensorrt" / "builders.py").read_text()
    for text in (deploy_page(), builders):
        assert set(re.findall(r"nvidia/tensorrt:([\w.-]+)", text)) == {release}
