"""What is installed is what is tested: the server's wheel holds its page."""

from __future__ import annotations

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

SERVER = Path(__file__).parents[2] / "server"


def test_the_page_is_in_the_servers_wheel() -> None:
    packed = {file.distribution_path for file in WheelBuilder(str(SERVER)).recurse_included_files()}
    source = SERVER / "src"
    files = [file for file in (source / "laps_server" / "web").rglob("*") if file.is_file()]
    page = {file.relative_to(source).as_posix() for file in files}
    assert len(page) > 20
    assert page <= packed
