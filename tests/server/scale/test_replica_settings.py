"""What a replica is set to, and what is refused before any Ray is started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from typer.testing import CliRunner

from laps_server.cli import app
from laps_server.errors import BadParameter, LapsError, NoModels
from laps_server.models.repository import discover
from laps_server.scale.replica import replica_settings
from laps_server.scale.serve import build, ray_serve
from laps_server.scale.settings import RaySettings
from laps_server.settings import Settings
from support.model_repositories import write_model


def test_threads_and_decoders_follow_the_cores_of_a_replica() -> None:
    settings = replica_settings({}, RaySettings(replica_cpus=6.5))
    assert (settings.threads, settings.decode_workers) == (6, 2)
    small = replica_settings({}, RaySettings(replica_cpus=0.5))
    assert (small.threads, small.decode_workers) == (1, 1)


def test_all_cores_beside_a_gpu_decode() -> None:
    settings = replica_settings({}, RaySettings(replica_cpus=8, replica_gpus=1))
    assert (settings.threads, settings.decode_workers) == (8, 8)
    given = replica_settings({"decode_workers": 3}, RaySettings(replica_cpus=8, replica_gpus=1))
    assert given.decode_workers == 3


def test_what_was_given_wins_over_this_machine_and_this_machine_over_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAPS_THREADS", "3")
    monkeypatch.setenv("LAPS_MAX_REQUESTS", "5")
    settings = replica_settings({"max_requests": 7}, RaySettings(replica_cpus=1))
    assert (settings.threads, settings.max_requests) == (3, 7)


def test_a_repository_in_a_bucket_takes_the_place_of_the_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "colours")
    store = fsspec.filesystem("memory")
    store.put(f"{tmp_path / 'models'}/", "memory://given/models/", recursive=True)
    given = {"model_repository": (tmp_path / "elsewhere",), "cache_dir": tmp_path / "cache"}
    settings = replica_settings(given, RaySettings(model_url="memory://given/models"))
    store.rm("/given", recursive=True)
    assert [model.name for model in discover(*settings.model_repository, versions="latest")] == ["colours"]


@pytest.mark.parametrize(
    ("given", "ray_given", "detach", "error", "said"),
    [
        pytest.param({"internal_port": 8001}, {}, False, BadParameter, "cannot share a port", id="internal port"),
        pytest.param({"host": "0.0.0.0"}, {}, False, BadParameter, "nobody needs a key", id="everybody"),
        pytest.param({}, {}, True, BadParameter, "ends with the command", id="detached from nothing"),
        pytest.param(
            {"model_repository": ("/no/such/folder",)}, {}, False, NoModels, "/no/such/folder", id="no models"
        ),
    ],
)
def test_what_cannot_be_is_said_before_ray_is_started(
    given: dict[str, Any], ray_given: dict[str, Any], detach: bool, error: type[LapsError], said: str
) -> None:
    with pytest.raises(error, match=said):
        ray_serve(Settings(**given), RaySettings(**ray_given), detach=detach)


def test_rays_tools_find_the_app_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import laps_server.scale.serve as module

    assert type(module.app) is type(build(Settings(), RaySettings()))
    monkeypatch.setenv("LAPS_INTERNAL_PORT", "8001")
    with pytest.raises(BadParameter):
        _ = module.app


def test_without_the_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("laps_server.scale.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = CliRunner().invoke(app, ["ray-serve"])
    assert done.exit_code == 2
    assert "laps-server[scale]" in done.output.replace("\n", "")


def test_a_wrong_setting_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPS_RAY_MIN_REPLICAS", "none")
    done = CliRunner().invoke(app, ["ray-serve"])
    assert done.exit_code == 2
    assert "LAPS_RAY_MIN_REPLICAS" in done.output


def test_most_replicas_are_not_fewer_than_fewest() -> None:
    with pytest.raises(ValueError, match="less than min_replicas"):
        RaySettings(min_replicas=3, max_replicas=2)
