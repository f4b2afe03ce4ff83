"""Walls between the three packages and inside the server, held by reading imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "laps_server": ROOT / "server" / "src" / "laps_server",
    "laps_export": ROOT / "export" / "src" / "laps_export",
    "laps_client": ROOT / "clients" / "python" / "src" / "laps_client",
}
# What touches PyAV is too long for one module; the package's docstring says what is in it, and nothing else may.
AV_MODULES = {
    f"video/av_file/{name}.py"
    for name in (
        "container_index",
        "container_streams",
        "decoded_frame",
        "open_container",
        "packet",
        "stream_headers",
        "video_file",
    )
}
ENGINE_PACKAGES = {"onnxruntime", "openvino", "tritonclient", "grpc", "aiohttp"}
# Beside the adapters: what engines are, how they are found, and how one of them is chosen.
NO_ADAPTERS = {"base", "choice_cache", "choices", "choose", "chosen", "machine", "one_thread", "registry", "trial"}
ADAPTERS = {path.stem for path in (SOURCES["laps_server"] / "engines").glob("[a-z]*")} - NO_ADAPTERS


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)  # which may be a module too


def importers(folder: Path, package: str) -> set[str]:
    return {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        if any(name == package or name.startswith(f"{package}.") for name in imports(file))
    }


@pytest.mark.parametrize("package", SOURCES)
def test_the_three_packages_never_import_each_other(package: str) -> None:
    assert list(SOURCES[package].rglob("*.py"))
    for other in SOURCES.keys() - {package}:
        assert importers(SOURCES[package], other) == set()


def test_the_server_and_the_client_never_import_torch() -> None:
    assert importers(SOURCES["laps_server"], "torch") == set()
    assert importers(SOURCES["laps_client"], "torch") == set()
    assert importers(SOURCES["laps_export"], "torch") != set()


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("av", AV_MODULES),
        ("onnxruntime", {"onnx_runtime.py"}),
        ("openvino", {"engines/openvino.py"}),
        ("PIL", {"video/preprocess.py"}),
        ("tritonclient", {"engines/triton/wire.py"}),
        ("grpc", {"engines/triton/wire.py"}),
        ("aiohttp", {"engines/triton/wire.py"}),
        ("opentelemetry", {"tracing.py"}),
        ("fastapi", None),
        ("starlette", None),
        ("uvicorn", {"serve.py", "scale/own_port.py", "api/early_refusal.py", "api/unread_body.py"}),
        ("typer", {"cli.py", "cli_keys.py"}),
        ("rich", {"cli.py", "cli_batch.py", "cli_keys.py", "cli_output.py"}),
    ],
)
def test_each_foreign_library_stays_in_its_place(package: str, allowed: set[str] | None) -> None:
    found = importers(SOURCES["laps_server"], package)
    if allowed is None:
        assert all(name.startswith("api/") for name in found)
    else:
        assert found == allowed


@pytest.mark.parametrize("package", ["ray", "pyarrow", "fsspec"])
def test_what_goes_past_one_machine_stays_in_scale(package: str) -> None:
    assert all(name.startswith("scale/") for name in importers(SOURCES["laps_server"], package))


def test_scale_is_for_its_commands_alone() -> None:
    found = importers(SOURCES["laps_server"], "laps_server.scale")
    assert {name for name in found if not name.startswith("scale/")} == {"cli.py", "cli_batch.py"}


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_the_registry_alone_imports_adapters_of_engines(adapter: str) -> None:
    found = importers(SOURCES["laps_server"], f"laps_server.engines.{adapter}")
    outside = {name for name in found if not name.startswith(f"engines/{adapter}")}
    assert outside == ({"engines/registry.py"} if adapter != "fake" else set())


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("pandas", {"_tables.py"}),
        ("matplotlib", {"plots.py", "cli/figure.py"}),
        ("typer", None),
        ("click", None),
        ("rich", None),
    ],
)
def test_each_of_the_clients_extras_stays_in_its_place(package: str, allowed: set[str] | None) -> None:
    found = importers(SOURCES["laps_client"], package)
    if allowed is None:
        assert all(name.startswith("cli/") for name in found)
    else:
        assert allowed <= found <= allowed | {"_results.py"}  # in _results.py for the types alone


def test_the_clients_library_never_imports_its_command_line() -> None:
    assert all(name.startswith("cli/") for name in importers(SOURCES["laps_client"], "laps_client.cli"))


def test_the_environment_is_read_in_settings_alone() -> None:
    readers = set()
    for file in SOURCES["laps_server"].rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}:
                readers.add(file.name)
    assert readers <= {"settings.py"}


def test_the_command_alone_prints() -> None:
    printers = set()
    for file in SOURCES["laps_server"].rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            printing = isinstance(node, ast.Name) and node.id == "print"
            if printing or (isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}):
                printers.add(str(file.relative_to(SOURCES["laps_server"])))
    assert printers == {"cli_output.py"}


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("laps_server.api.app", {"torch", "onnx", "laps_export"}),
        ("laps_server.logs", {"fastapi", "starlette"}),
        ("laps_server.shared_memory", {"laps_server.engines"} | ENGINE_PACKAGES),
        ("laps_server.offline", {"laps_server.api", "fastapi", "starlette", "rich", "typer"} | ENGINE_PACKAGES),
        ("laps_server.settings", ENGINE_PACKAGES),
        ("laps_server.cli", {"ray", "pyarrow", "fsspec", "laps_server.scale"}),
        ("laps_server.scale.settings", {"ray", "pyarrow", "fsspec"}),
        ("laps_server.engines.registry", ENGINE_PACKAGES),
        ("laps_server.serve", {"opentelemetry.sdk", "requests"}),
        ("laps_server.runtime", {"torch", "fastapi", "starlette", "uvicorn"} | ENGINE_PACKAGES),
        ("laps_server.tune", {"fastapi", "starlette", "rich", "typer"} | ENGINE_PACKAGES),
        ("laps_client", {"torch", "fastapi", "av", "numpy", "pandas", "matplotlib", "typer"}),
    ],
)
def test_importing_a_front_loads_nothing_heavy(module: str, banned: set[str]) -> None:
    code = f"import sys, {module}; print(sorted({banned!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_serving_environment_holds_no_torch() -> None:
    python = ROOT / ".venv" / "bin" / "python"
    if not python.exists():
        pytest.skip("the serving environment is made by make")
    code = "import importlib.util as u; print([u.find_spec(name) for name in ('torch', 'onnxscript', 'skimage')])"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[None, None, None]"


def test_the_exporters_fetching_knows_neither_torch_nor_the_server() -> None:
    allowed = {"fetch/index.py"}
    assert importers(SOURCES["laps_export"], "unearth") == importers(SOURCES["laps_export"], "httpx2") == allowed
    code = "import sys, laps_export.cli.fetch; print(sorted({'torch', 'skimage', 'laps_server'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("package", "allowed"), [("nncf", {"quantize/quantized_graph.py"}), ("openvino", {"quantize/graph_runners.py"})]
)
def test_what_quantises_stays_in_its_place(package: str, allowed: set[str]) -> None:
    assert importers(SOURCES["laps_export"], package) == allowed


def test_nothing_below_the_job_asks_whether_segments_were_wanted() -> None:
    """One road: whole videos and segmented ones differ in the window's length, and in what the job tells of them."""
    folder = SOURCES["laps_server"]
    readers = {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr == "segments"
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) in {"options", "_options", "query"}
    }
    assert readers == {"job.py", "api/responses.py", "api/routes.py", "scale/batch.py"}


def test_stages_are_timed_in_one_place() -> None:
    """Deadlines and rates ask the same clock; what waits for Triton has timers of its own."""
    folder = SOURCES["laps_server"]
    readers = importers(folder, "time")
    assert {name for name in readers if not name.startswith("engines/triton/")} == {"observe.py", "serve.py"}
