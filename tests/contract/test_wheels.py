"""What is installed is what is tested: the wheels of ``make dist``, in an environment with nothing else, serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from support.live_servers import ServerProcess

ROOT = Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
PACKAGES = ("laps_server", "laps_export", "laps_client")
SOURCES = {
    "laps_server": ROOT / "server" / "src",
    "laps_export": ROOT / "export" / "src",
    "laps_client": ROOT / "clients" / "python" / "src",
}
_SERVED = {".html", ".css", ".js", ".svg"}
# Without these the source tree could answer in the place of what is installed.
_CLEAN = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of each package, as ``make dist`` builds it."""
    if not (ROOT / ".venv" / ".installed").is_file():
        pytest.skip("the serving environment, which builds wheels, is made by make")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(["make", "dist", f"DIST={folder}"], check=True, cwd=ROOT, env=_CLEAN, timeout=300)
    built = {path.name.partition("-")[0]: path for path in folder.iterdir()}
    assert sorted(built) == sorted(PACKAGES)
    return built


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheels of server and client, and what these two ask for."""

    bin: Path
    elsewhere: Path

    def run(self, command: str, *args: str) -> str:
        """What an installed program prints, called from a folder outside of the project."""
        done = subprocess.run(
            [self.bin / command, *args], check=True, cwd=self.elsewhere, env=_CLEAN, capture_output=True, text=True
        )
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    chosen = [str(wheels["laps_server"]), str(wheels["laps_client"])]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, "install", "--no-compile", *constraints, *chosen], check=True, env=_CLEAN, timeout=300)
    return Installed(bin=python.parent, elsewhere=folder)


@pytest.fixture(scope="module")
def served(installed: Installed) -> Iterator[str]:
    """The address of the installed server, over the shipped models."""
    process = subprocess.Popen(
        [installed.bin / "laps-server", "serve", "--port", "0", "--model-repository", ROOT / "model_repository"],
        cwd=installed.elsewhere,
        env=_CLEAN,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        server = ServerProcess.attached(process)
        server.wait_ready()
        yield server.url
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_the_whole_package_and_the_licence(package: str, wheels: dict[str, Path]) -> None:
    source = SOURCES[package]
    files = {
        file.relative_to(source).as_posix()
        for file in (source / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    about = f"{package}-{VERSION}.dist-info"
    with ZipFile(wheels[package]) as wheel:
        names = set(wheel.namelist())
        assert {name for name in names if not name.startswith(f"{about}/")} == files
        assert wheel.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert message_from_bytes(wheel.read(f"{about}/METADATA"))["Version"] == VERSION


def test_installed_programs_tell_the_version(installed: Installed) -> None:
    assert installed.run("laps-server", "--version") == f"{VERSION}\n"
    assert installed.run("python", "-c", "import laps_client; print(laps_client.__version__)") == f"{VERSION}\n"


def test_the_installed_client_gets_an_answer_from_the_installed_server(installed: Installed, served: str) -> None:
    program = (
        "import json, sys\n"
        "from laps_client import LapsClient\n"
        "with LapsClient(sys.argv[1]) as client:\n"
        "    result = client.classify(sys.argv[2])\n"
        "print(json.dumps([result.model.name, result.top.label]))\n"
    )
    video = ROOT / "examples" / "pan-then-zoom.mp4"
    assert json.loads(installed.run("python", "-c", program, served, str(video))) == ["camera-motion", "zoom in"]


def test_the_installed_server_has_every_file_of_the_page(served: str) -> None:
    web = SOURCES["laps_server"] / "laps_server" / "web"
    files = sorted(file.relative_to(web).as_posix() for file in web.rglob("*") if file.suffix in _SERVED)
    assert len(files) > 20
    with httpx.Client(base_url=served) as client:
        for name in files:
            path = "/" if name == "index.html" else f"/web/{name}"
            assert client.get(path).content == (web / name).read_bytes(), path
