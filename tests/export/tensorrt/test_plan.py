"""Everything around TensorRT's builder; the builder itself, which needs a GPU, is a stand-in at the far edge."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from laps_export.cli import app as cli
from laps_export.graph.parity import ParityGate
from laps_export.repository.entry import sha256_of
from laps_export.repository.write_version import write_version
from laps_export.tensorrt.builders import UNKNOWN, BuildRequest, current_gpu, read_log
from laps_server.errors import NoModels
from laps_server.models.manifest import parse_manifest
from laps_server.runtime import build_runtime
from laps_server.settings import Settings
from support.small_laps import CONTRACT, small_version_request
from support.tensorrt_builders import CAPABILITY, GPU, FakeCuda, FakeTensorrt, write_docker, write_trtexec


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("exported") / "models"
    request = small_version_request()
    write_version(request, repository, gate=ParityGate(batch_sizes=(1,)))
    return repository


@pytest.fixture
def repository(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "models"))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, and no package tensorrt."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("laps_export.tensorrt.builders._TRTEXEC_FOLDERS", ())
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorrt" else found(name))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def export(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["laps-export", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "1" / "laps.json").read_bytes())
    return manifest


@pytest.mark.parametrize("major", [10, 11])
def test_a_plan_becomes_an_entry_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, repository: Path, major: int
) -> None:
    write_trtexec(path, major=major)
    assert export(monkeypatch, "tensorrt", repository / "small") == 0, capsys.readouterr().err
    assert f"{GPU}, TensorRT {major}.3.4" in capsys.readouterr().out
    entry = repository / "small-trt"
    assert sorted(str(p.relative_to(entry)) for p in entry.rglob("*") if p.is_file()) == [
        "1/laps.json",
        "1/model.plan",
        "config.pbtxt",
        "labels.txt",
    ]
    plan = entry / "1" / "model.plan"
    assert plan.stat().st_mode & 0o777 == 0o644
    built = json.loads(plan.read_text())
    assert built["float16_weights"], "the builder got the graph typed to float16"
    options = [tuple(option) for option in built["options"]]
    assert (("--stronglyTyped", "") in options) is (major == 10)
    shapes = [value for name, value in options if name.endswith("Shapes")]
    assert [re.findall(r"clips:(\d+)x8x64x64x3", shape) for shape in shapes] == [
        [str(n)] for n in (1, 1, 1, 2, 2, 2, 3, 4, 4, 5, 8, 8, 9, 16, 16)
    ]
    assert export(monkeypatch, "verify", entry) == 0
    assert f"TensorRT {major}.3.4 on {GPU}, not run here" in capsys.readouterr().out
    assert not [p for p in repository.parent.iterdir() if p.name.startswith(".")], "nothing is left beside"


def test_the_manifest_says_what_it_runs_on_and_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, path: Path, repository: Path
) -> None:
    write_trtexec(path)
    assert export(monkeypatch, "tensorrt", repository / "small", "--batch-sizes", "4,1") == 0
    source, plan = manifest_of(repository / "small"), manifest_of(repository / "small-trt")
    assert plan["plan"] == {
        "tensorrt": "11.3.4",
        "gpu": GPU,
        "compute_capability": CAPABILITY,
        "batch_sizes": [1, 4],
    }
    assert plan["files"] == {"model.plan": sha256_of(repository / "small-trt" / "1" / "model.plan")}
    parity = plan["precisions"]["float16"]["parity"]
    assert 0 < parity["max_abs_diff"] <= parity["tolerance"]
    assert plan["provenance"]["built_from"] == {"name": "small", "sha256": source["files"]["model.onnx"]}
    same = source.keys() - {"name", "precisions", "files", "provenance"}
    assert {key: plan[key] for key in same} == {key: source[key] for key in same}
    text = (repository / "small-trt" / "1" / "laps.json").read_bytes()
    read = parse_manifest(text, where="small-trt/1/laps.json")
    assert read.plan is not None
    assert (read.plan.gpu, read.graph_file) == (GPU, "model.plan")


def test_the_server_leaves_plans_to_triton(monkeypatch: pytest.MonkeyPatch, path: Path, repository: Path) -> None:
    write_trtexec(path)
    assert export(monkeypatch, "tensorrt", repository / "small", "--batch-sizes", "1") == 0
    served = build_runtime(Settings(model_repository=repository)).served.versions
    assert [model.files.name for model in served] == ["small"]
    shutil.rmtree(repository / "small")
    with pytest.raises(NoModels, match="plans alone"):
        build_runtime(Settings(model_repository=repository))


def test_the_configuration_names_every_profile(monkeypatch: pytest.MonkeyPatch, path: Path, repository: Path) -> None:
    write_trtexec(path)
    assert export(monkeypatch, "tensorrt", repository / "small", "--batch-sizes", "1,2,6") == 0
    config = text_format.Parse((repository / "small-trt" / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("small-trt", "tensorrt", 6)
    (group,) = config.instance_group
    assert (group.kind, list(group.profile)) == (model_config_pb2.ModelInstanceGroup.KIND_GPU, ["0", "1", "2"])
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 2, 6]
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 6]
    onnx_config = text_format.Parse((repository / "small" / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert (list(config.input), list(config.output)) == (list(onnx_config.input), list(onnx_config.output))


def test_float32_is_built_from_the_graph_itself(monkeypatch: pytest.MonkeyPatch, path: Path, repository: Path) -> None:
    write_trtexec(path)
    assert export(monkeypatch, "tensorrt", repository / "small", "--precision", "float32", "--name", "exact") == 0
    plan = manifest_of(repository / "exact")
    assert plan["precisions"] == {
        "float32": {
            "file": "model.plan",
            "parity": manifest_of(repository / "small")["precisions"]["float32"]["parity"],
        }
    }
    built = json.loads((repository / "exact" / "1" / "model.plan").read_text())
    assert not built["float16_weights"]
    assert ["--noTF32", ""] in built["options"]


def test_timings_are_kept_for_the_next_build(
    monkeypatch: pytest.MonkeyPatch, path: Path, repository: Path, tmp_path: Path
) -> None:
    write_trtexec(path)
    cache = tmp_path / "kept" / "h100.cache"
    command = ["tensorrt", repository / "small", "--batch-sizes", "1", "--timing-cache", cache, "--force"]
    assert export(monkeypatch, *command) == 0
    assert cache.read_bytes() == b"measured;"
    assert export(monkeypatch, *command) == 0
    assert cache.read_bytes() == b"measured;measured;"


def test_a_plan_is_there_and_told_of_although_its_timings_cannot_be_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, repository: Path, tmp_path: Path
) -> None:
    write_trtexec(path)
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "h100.cache"
    assert export(monkeypatch, "tensorrt", repository / "small", "--batch-sizes", "1", "--timing-cache", cache) == 0
    assert "timings are not kept" in capsys.readouterr().err
    assert (repository / "small-trt" / "1" / "model.plan").is_file()


def test_a_container_builds_with_one_folder_in_sight(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, repository: Path, tmp_path: Path
) -> None:
    write_docker(path, write_trtexec(tmp_path / "image").parent)
    options = ["--container", "some/image:1", "--timing-cache", tmp_path / "t.cache"]
    assert export(monkeypatch, "tensorrt", repository / "small", *options) == 0, capsys.readouterr().err
    assert manifest_of(repository / "small-trt")["plan"]["gpu"] == GPU
    assert (tmp_path / "t.cache").read_bytes() == b"measured;"


def test_without_a_builder_it_says_what_to_run_and_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, repository: Path
) -> None:
    assert export(monkeypatch, "tensorrt", repository / "small", "--batch-sizes", "1,4", "--name", "fast") == 11
    said = capsys.readouterr().err
    again = f"laps-export tensorrt {repository / 'small'} --precision float16 --batch-sizes 1,4 --name fast"
    assert f"{again} --container nvcr.io/nvidia/tensorrt:" in said
    assert export(monkeypatch, "tensorrt", repository / "small", "--container", "some/image:1") == 11
    assert "docker is not on PATH" in capsys.readouterr().err
    assert [p.name for p in repository.iterdir()] == ["small"]


@pytest.mark.parametrize(
    ("trtexec", "code", "said"),
    [({"fails": True}, "builder_failed", "out of memory"), ({"major": 9}, "builder_too_old", "TensorRT 10 or newer")],
    ids=["fails", "old"],
)
def test_a_builder_that_fails_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    path: Path,
    repository: Path,
    trtexec: dict[str, Any],
    code: str,
    said: str,
) -> None:
    write_trtexec(path, **trtexec)
    assert export(monkeypatch, "tensorrt", repository / "small") == 11
    err = capsys.readouterr().err
    assert code in err
    assert said in err
    assert [p.name for p in repository.iterdir()] == ["small"]
    assert not [p for p in repository.parent.iterdir() if p.name.startswith(".")]


def test_what_is_there_is_replaced_only_if_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, repository: Path
) -> None:
    write_trtexec(path)
    command = ["tensorrt", repository / "small", "--batch-sizes", "1"]
    assert export(monkeypatch, *command) == 0
    assert export(monkeypatch, *command) == 6
    assert "version_exists" in capsys.readouterr().err
    assert export(monkeypatch, *command, "--force") == 0
    other = ["tensorrt", repository / "small", "--batch-sizes", "1,4"]
    assert export(monkeypatch, *other, "--force") == 6
    assert "profiles for batches of 1, and its config.pbtxt with them: not for 1, 4" in capsys.readouterr().err
    assert export(monkeypatch, *other, "--name", "other") == 0
    assert export(monkeypatch, "tensorrt", repository / "small-trt") == 6
    assert "not_a_graph" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [(["--batch-sizes", "0"], 11), (["--batch-sizes", "a"], 2), (["--precision", "int8"], 2), (["--version", "7"], 6)],
    ids=["zero", "letters", "precision", "version"],
)
def test_mistakes_are_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    path: Path,
    repository: Path,
    arguments: list[str],
    exit_code: int,
) -> None:
    assert export(monkeypatch, "tensorrt", repository / "small", *arguments) == exit_code
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, path: Path) -> FakeTensorrt:
    fake = FakeTensorrt()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: FakeCuda())
    return fake


def test_the_python_package_builds_where_trtexec_is_not(
    monkeypatch: pytest.MonkeyPatch, package: FakeTensorrt, repository: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "t.cache"
    cache.write_bytes(b"known;")
    command = ["tensorrt", repository / "small", "--batch-sizes", "1,4", "--timing-cache", cache]
    assert export(monkeypatch, *command) == 0
    assert package.flags == 1 << 1, "strongly typed"
    assert package.cleared == ["tf32"]
    assert package.profiles == [
        ("clips", (1, 8, 64, 64, 3), (1, 8, 64, 64, 3), (1, 8, 64, 64, 3)),
        ("clips", (2, 8, 64, 64, 3), (4, 8, 64, 64, 3), (4, 8, 64, 64, 3)),
    ]
    assert manifest_of(repository / "small-trt")["plan"]["tensorrt"] == "11.3.4"
    assert manifest_of(repository / "small-trt")["plan"]["gpu"] == GPU
    assert (repository / "small-trt" / "1" / "model.plan").read_bytes() == b"a plan"
    assert cache.read_bytes() == b"known;measured;"


def test_timings_of_another_gpu_are_dropped(
    monkeypatch: pytest.MonkeyPatch, package: FakeTensorrt, repository: Path, tmp_path: Path
) -> None:
    package.accepts_cache = False
    cache = tmp_path / "t.cache"
    cache.write_bytes(b"of another;")
    assert export(monkeypatch, "tensorrt", repository / "small", "--timing-cache", cache) == 0
    assert package.caches == [b"of another;", b""]
    assert cache.read_bytes() == b"measured;"


@pytest.mark.parametrize(("fails", "said"), [("parses", "no such operator"), ("builds", "built no plan")])
def test_the_python_package_may_fail_too(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    package: FakeTensorrt,
    repository: Path,
    fails: str,
    said: str,
) -> None:
    setattr(package, fails, False)
    assert export(monkeypatch, "tensorrt", repository / "small") == 11
    assert said in capsys.readouterr().err


def test_every_batch_has_one_profile() -> None:
    request = BuildRequest(
        graph=Path("g"),
        plan=Path("p"),
        timing_cache=Path("t"),
        contract=CONTRACT,
        batch_sizes=(1, 2, 4, 8, 16),
    )
    covered = [batch for smallest, largest in request.profiles for batch in range(smallest, largest + 1)]
    assert covered == list(range(1, 17))


@pytest.mark.parametrize(
    ("log", "version"),
    [
        ("[TensorRT v101303]\n[I] TensorRT version: 10.13.3", "10.13.3"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101303] [b9]", "10.13.3"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110200] [b9]", "11.2.0"),
        ("nothing of the kind", UNKNOWN),
    ],
)
def test_a_log_tells_the_version(log: str, version: str) -> None:
    assert read_log(log).tensorrt == version


def test_a_machine_without_cuda_has_no_known_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> object:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert current_gpu() == (UNKNOWN, UNKNOWN)
