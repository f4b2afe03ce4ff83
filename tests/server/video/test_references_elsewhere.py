"""A file that names others opens none of them."""

from __future__ import annotations

import shutil
import socketserver
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from laps_server.errors import UnsupportedContainer, VideoCorrupt
from laps_server.video.accepted_formats import ACCEPTED, AcceptedFormats, CodecSet
from support.asf_objects import ASF_HEADER, SCRIPT_COMMAND, add_to_asf_header, asf_object
from support.hostile_files import REFERENCES
from support.numbered_videos import encode, extract

TESTS = Path(__file__).parents[2]


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A server on this machine that must hear nothing."""
    heard: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(1024))

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1], heard
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("codecs", ["standard", "wide"])
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".txt", ".asx", ".wmv"])
@pytest.mark.parametrize("kind", sorted(REFERENCES))
def test_playlists_are_no_container_and_open_nothing(
    kind: str, suffix: str, codecs: CodecSet, good: Path, tmp_path: Path, listener: tuple[int, list[bytes]]
) -> None:
    port, heard = listener
    shutil.copy(good, tmp_path / "sentinel.mp4")
    path = tmp_path / f"reference{suffix}"
    path.write_text(REFERENCES[kind].format(url=f"http://127.0.0.1:{port}", file="sentinel.mp4", port=port))
    with pytest.raises(UnsupportedContainer):
        extract(path, codecs=codecs)
    assert heard == []


@pytest.mark.parametrize("kind", sorted(REFERENCES))
def test_playlists_behind_a_windows_media_signature_open_nothing(
    kind: str, tmp_path: Path, listener: tuple[int, list[bytes]]
) -> None:
    port, heard = listener
    text = REFERENCES[kind].format(url=f"http://127.0.0.1:{port}", file="sentinel.mp4", port=port)
    path = tmp_path / "reference.wmv"
    path.write_bytes(ASF_HEADER.bytes_le + text.encode() + bytes(4096))
    with pytest.raises(UnsupportedContainer, match="asf"):
        extract(path)
    with pytest.raises(VideoCorrupt):
        extract(path, codecs="wide")
    assert heard == []


def test_an_address_that_a_windows_media_file_says_to_open_is_not(
    tmp_path: Path, listener: tuple[int, list[bytes]]
) -> None:
    """A script command tells a player to open a page at the first frame; the video is decoded all the same."""
    port, heard = listener
    kind, url = "URL".encode("utf-16-le"), f"http://127.0.0.1:{port}/x".encode("utf-16-le")
    command = struct.pack("<IHH", 0, 0, len(url) // 2) + url
    path = encode(tmp_path / "script.wmv", "wmv2", count=50)
    kinds = struct.pack("<HHH", 1, 1, len(kind) // 2) + kind
    add_to_asf_header(path, asf_object(SCRIPT_COMMAND, bytes(16) + kinds + command))
    assert extract(path, codecs="wide").warnings == ()
    assert heard == []


def test_no_file_is_opened_even_where_a_playlist_is_read(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol list holds by itself: here the format list lets a playlist in."""
    accepted = ACCEPTED["standard"]
    open_to_lists = AcceptedFormats({**accepted.containers, "concat": "concat"}, accepted.decoders)
    monkeypatch.setitem(ACCEPTED, "standard", open_to_lists)
    monkeypatch.chdir(tmp_path)
    shutil.copy(good, "sentinel.mp4")
    path = tmp_path / "list.mp4"
    path.write_text("ffconcat version 1.0\nfile sentinel.mp4\n")
    with pytest.raises(UnsupportedContainer):
        extract(path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_playlists_make_no_system_call_for_a_socket_or_a_file(good: Path, tmp_path: Path) -> None:
    shutil.copy(good, tmp_path / "sentinel.mp4")
    paths = []
    for kind, text in REFERENCES.items():
        path = tmp_path / f"{kind}.mp4"
        path.write_text(text.format(url="http://127.0.0.1:9", file="sentinel.mp4", port=9))
        paths.append(str(path))
    script = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from pathlib import Path\nfrom laps_server.errors import UnsupportedContainer\n"
        "from support.numbered_videos import extract\n"
        "refused = 0\n"
        "for name in sys.argv[1:]:\n"
        "    for codecs in ('standard', 'wide'):\n"
        "        try:\n            extract(Path(name), codecs=codecs)\n"
        "        except UnsupportedContainer:\n            refused += 1\n"
        "print(refused)\n"
    )
    log = tmp_path / "calls"
    command = ["strace", "-f", "-e", "trace=openat,open,socket,connect,bind", "-o", str(log)]
    run = subprocess.run(
        [*command, sys.executable, "-c", script, *paths], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    if not log.exists() or "ptrace" in run.stderr:
        pytest.skip("strace may not trace here")
    assert run.stdout.strip() == str(2 * len(paths)), run.stderr
    calls = log.read_text().splitlines()
    assert any(Path(paths[0]).name in call for call in calls)
    assert [call for call in calls if "sentinel" in call or "AF_INET" in call or "connect(" in call] == []
