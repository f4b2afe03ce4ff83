"""One version, in the file VERSION: the packages, what they print and what the images are labelled with."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import laps_client
import laps_export
import laps_server
from laps_server.api.app import create_app
from laps_server.runtime import Runtime
from laps_server.served_models import ServedModels
from laps_server.settings import Settings
from laps_server.video.decode_pool import DecodePool

ROOT = Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
PROJECTS = {"laps-server": "server", "laps-export": "export", "laps-client": "clients/python"}


@pytest.mark.parametrize(("name", "folder"), PROJECTS.items())
def test_each_package_takes_its_version_from_the_file(name: str, folder: str) -> None:
    pyproject = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    assert "version" not in pyproject["project"]
    source = ROOT / folder / pyproject["tool"]["hatch"]["version"]["path"]
    assert source.resolve() == ROOT / "VERSION"
    assert version(name) == VERSION, "installed from another version; run: make dev"


def test_the_packages_say_it() -> None:
    assert {laps_server.__version__, laps_export.__version__, laps_client.__version__} == {VERSION}


@pytest.mark.parametrize("command", ["laps-server", "laps"])
def test_the_commands_print_it(command: str) -> None:
    path = Path(sys.executable).with_name(command)
    done = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"{VERSION}\n"


def test_the_api_document_names_it() -> None:
    runtime = Runtime(ServedModels((), default_model=None), DecodePool(1))
    document = create_app(runtime, Settings.model_construct()).openapi()
    assert document["info"]["version"] == VERSION


def test_the_images_are_labelled_with_it() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    before_any_stage, *stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    assert re.findall(r"^ARG VERSION=(.*)$", before_any_stage, re.MULTILINE) == [VERSION]
    labelled = [stage for stage in stages if 'image.version="${VERSION}"' in stage]
    assert len(labelled) == 2
    assert all(re.search("^ARG VERSION$", stage, re.MULTILINE) for stage in labelled)


def test_no_release_of_the_changelog_is_newer() -> None:
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[:1] in ([], [VERSION])
