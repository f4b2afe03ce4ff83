"""deploy/kubernetes, without a cluster: Kubernetes' own kinds by its schemas, KubeRay's by what they must hold.

And what they say of this project is so: commands, settings, paths and ports that there are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from laps_server.cli import app
from laps_server.scale.settings import RaySettings
from laps_server.scale.settings import variable as ray_variable
from laps_server.settings import Settings, variable

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
KUBERNETES = "1.32"
OURS = "ray.io/v1"  # kinds that no schema is carried of
SETTINGS = {variable(name) for name in Settings.model_fields} | {
    ray_variable(name) for name in RaySettings.model_fields
}
OTHERS = {"RAY_USAGE_STATS_ENABLED", "RAY_SERVE_ENABLE_HA_PROXY"}
PATHS = {"/readyz", "/livez", "/metrics", "/-/healthz"}  # the last is that of Ray's proxies


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for path in FILES for document in documents(path) if document["kind"] == kind]


def one(kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = (document for document in of_kind(kind) if name in (None, document["metadata"].get("name")))
    return found


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """The head's and the workers'."""
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def clusters() -> list[dict[str, Any]]:
    return [one("RayService")["spec"]["rayClusterConfig"], one("RayJob")["spec"]["rayClusterSpec"]]


def pods() -> list[dict[str, Any]]:
    """Of every kind, the templates of its pods."""
    templates = [group["template"] for cluster in clusters() for group in groups(cluster)]
    return [*templates, *(deployment["spec"]["template"] for deployment in of_kind("Deployment"))]


def containers() -> list[dict[str, Any]]:
    return [container for pod in pods() for container in pod["spec"]["containers"]]


def leaves(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from leaves(value)
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kinds_of_kubernetes_are_as_its_schemas_say(path: Path) -> None:
    own = [document for document in documents(path) if document["apiVersion"] != OURS]
    for document in own:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    assert own or path.name == "rayjob.yaml"


def test_pods_of_kuberay_are_as_the_schema_of_pods_says() -> None:
    for cluster in clusters():
        for group in groups(cluster):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **group["template"]}
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_a_wrong_field_would_be_seen() -> None:
    deployment = one("Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


@pytest.mark.parametrize("cluster", clusters(), ids=["RayService", "RayJob"])
def test_a_cluster_is_what_kuberay_reads(cluster: dict[str, Any]) -> None:
    assert cluster.keys() == {"enableInTreeAutoscaling", "headGroupSpec", "workerGroupSpecs"}
    assert cluster["headGroupSpec"].keys() == {"rayStartParams", "template"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "the head runs nothing of ours"
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in groups(cluster):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"] == "laps-server:ray"
        assert {"readinessProbe", "livenessProbe"} <= container.keys(), "KubeRay's own need wget"
        assert container["resources"]["requests"] == container["resources"]["limits"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert {"gcs", "dashboard", "client"} <= {port["name"] for port in head["ports"]}


def test_the_service_is_what_serve_deploys() -> None:
    service = one("RayService")
    assert service["spec"].keys() == {"serveConfigV2", "rayClusterConfig"}
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    assert config == {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000},
        "applications": [{"name": "laps", "import_path": "laps_server.scale.serve:app", "route_prefix": "/"}],
    }
    settings = one("ConfigMap")["data"]
    (worker,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    (container,) = worker["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == settings["LAPS_RAY_REPLICA_CPUS"], "one replica a pod"
    assert worker["maxReplicas"] == int(settings["LAPS_RAY_MAX_REPLICAS"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["replica"] == RaySettings.model_fields["replica_port"].default
    assert one("Service", "laps-direct")["spec"]["ports"][0]["targetPort"] == "replica"


def test_the_job_is_a_command_that_there_is() -> None:
    job = one("RayJob")["spec"]
    required = {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec"}
    assert job.keys() == required | {"runtimeEnvYAML"}
    name, *arguments = shlex.split(job["entrypoint"])
    assert name == "laps-server"
    check_command(arguments)


def check_command(arguments: list[str]) -> None:
    """Whether the command line would be parsed; nothing is run."""
    typer.main.get_group(app).commands[arguments[0]].make_context(arguments[0], arguments[1:])


def test_other_containers_run_commands_that_there_are() -> None:
    found = [container["args"] for container in containers() if "args" in container]
    assert found
    for arguments in found:
        check_command(list(arguments))


def test_what_is_set_is_a_setting_and_a_value_that_it_takes() -> None:
    environments = [{entry["name"]: entry["value"] for entry in container.get("env", ())} for container in containers()]
    environments += [one("ConfigMap")["data"], yaml.safe_load(one("RayJob")["spec"]["runtimeEnvYAML"])["env_vars"]]
    assert {name for names in environments for name in names} <= SETTINGS | OTHERS
    for environment in environments:
        ray = {name[9:].lower(): value for name, value in environment.items() if name.startswith("LAPS_RAY_")}
        own = {name[5:].lower(): value for name, value in environment.items() if re.match("LAPS_(?!RAY_)", name)}
        Settings(**own)
        RaySettings(**ray)


def test_whatever_starts_ray_tells_nobody_of_it() -> None:
    quiet = {"RAY_USAGE_STATS_ENABLED": "0"}
    assert quiet.items() <= one("ConfigMap")["data"].items()
    for group in groups(one("RayJob")["spec"]["rayClusterSpec"]):
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    for group in groups(one("RayService")["spec"]["rayClusterConfig"]):
        (container,) = group["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": "laps-ray"}}]


def test_probes_ask_for_paths_and_ports_that_there_are() -> None:
    for container in containers():
        named = {port["name"] for port in container.get("ports", ())}
        probes = [value for key, value in leaves(container) if key == "httpGet"]
        assert {probe["path"] for probe in probes} <= PATHS
        assert {probe["port"] for probe in probes} <= named


def test_the_autoscaler_follows_a_metric_that_there_is() -> None:
    (metric,) = one("HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f'"{name}"' in (ROOT / "server" / "src" / "laps_server" / "metrics.py").read_text()
    assert "replicas" not in one("Deployment")["spec"], "it would undo what the autoscaler did"


def test_pods_have_the_time_to_drain() -> None:
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: float(entry["value"]) for entry in container["env"] if "DRAIN" in entry["name"]}
    assert one("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > sum(env.values())
    (worker,) = one("RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    drain = float(one("ConfigMap")["data"]["LAPS_DRAIN_TIMEOUT_S"])
    assert worker["template"]["spec"]["terminationGracePeriodSeconds"] > 2 * drain


def test_disruptions_leave_all_but_one() -> None:
    for budget in of_kind("PodDisruptionBudget"):
        selected = budget["spec"]["selector"]["matchLabels"].items()
        assert budget["spec"]["maxUnavailable"] == 1
        assert any(selected <= pod.get("metadata", {}).get("labels", {}).items() for pod in pods())
