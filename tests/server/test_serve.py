"""Start, readiness, drain, disconnects and faults of a real server process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from support.live_servers import ServerProcess, running_server
from support.model_repositories import colour_graph, slow_graph, write_model
from support.plain_videos import GREEN, RED, write_colour_video

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "colours")
    return tmp_path / "models"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_colour_video(tmp_path / "clip.mp4", [RED, GREEN] * 10)


def open_fds(server: ServerProcess) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def cpu_seconds(server: ServerProcess, *, over_s: float) -> float:
    """Processor time that the server takes in the next ``over_s`` seconds."""

    def ticks() -> int:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(over_s)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK")


def half_sent_request(
    server: ServerProcess, video: Path, query: str = "", *, receive_buffer: int | None = None
) -> tuple[socket.socket, bytes]:
    """A request whose body is not complete yet, though the server reads it; the rest is returned."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.settimeout(30)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((host, int(port)))
    content = video.read_bytes()
    half = len(content) // 2
    headers = f"Host: x\r\nContent-Length: {len(content)}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
    connection.sendall(f"POST /classify{query} HTTP/1.1\r\n{headers}".encode())
    assert connection.recv(len(CONTINUE), socket.MSG_WAITALL) == CONTINUE
    connection.sendall(content[:half])
    return connection, content[half:]


def wait_until_it_drains(server: ServerProcess) -> httpx.Response:
    """The answer of ``/readyz`` once it is not ready any more."""
    deadline = time.monotonic() + 10
    while (ready := httpx.get(f"{server.url}/readyz")).status_code == 200:
        assert time.monotonic() < deadline, "a signal does not turn readiness off"
        time.sleep(0.02)
    return ready


def test_sigterm_turns_readiness_off_finishes_what_is_in_flight_and_exits_0(repository: Path, video: Path) -> None:
    with running_server(repository) as server:
        connection, rest = half_sent_request(server, video)
        server.process.send_signal(signal.SIGTERM)
        ready = wait_until_it_drains(server)
        assert (ready.status_code, ready.json()["reason"]) == (503, "shutting down")
        assert "retry-after" in ready.headers
        refused = httpx.post(f"{server.url}/classify", content=b"x")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert "retry-after" in refused.headers
        connection.sendall(rest)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        connection.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"predictions"' in answer
        assert server.process.wait(30) == 0


def test_a_drain_sends_the_whole_answer_to_a_slow_reader(repository: Path, tmp_path: Path) -> None:
    long = write_colour_video(tmp_path / "long.mp4", [RED, GREEN] * 400)
    with running_server(repository) as server:
        query = "?views=64x3&view_details=true&thumbnails=true"
        connection, rest = half_sent_request(server, long, query, receive_buffer=4096)
        connection.sendall(rest)
        answer = connection.recv(1024)
        assert answer.startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(4)
        while chunk := connection.recv(65536):
            answer += chunk
        connection.close()
        head, body = answer.split(b"\r\n\r\n", 1)
        declared = re.search(rb"content-length: (\d+)", head)
        assert declared is not None
        assert len(body) == int(declared[1])
        assert server.process.wait(30) == 0


def test_a_stop_while_models_load_does_not_wait_for_them(tmp_path: Path) -> None:
    write_model(tmp_path, "slow", graph=slow_graph(frames=4, size=32, classes=4, rounds=60))
    with running_server(tmp_path, ready=False, env={"LAPS_MAX_BATCH_VIEWS": "64"}) as server:
        assert httpx.get(f"{server.url}/readyz").json()["reason"] == "models are loading"
        assert httpx.post(f"{server.url}/classify", content=b"x").json()["error"]["code"] == "not_ready"
        assert server.stop(timeout_s=15) == 0


def test_a_stop_while_a_version_is_added_finishes_what_is_in_flight(
    repository: Path, video: Path, tmp_path: Path
) -> None:
    with running_server(repository, env={"LAPS_MAX_BATCH_VIEWS": "1", "LAPS_RELOAD_INTERVAL_S": "0.1"}) as server:
        connection, rest = half_sent_request(server, video)
        write_model(tmp_path / "made", "slow", graph=slow_graph(frames=4, size=32, classes=4, rounds=6))
        (tmp_path / "made" / "slow").rename(repository / "slow")
        server.wait_for(re.compile("loading slow/1"))
        server.process.send_signal(signal.SIGTERM)
        wait_until_it_drains(server)
        connection.sendall(rest)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        connection.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(60) == 0
        assert not any("Traceback" in line for line in server.log)


def test_a_second_signal_does_not_wait(repository: Path, video: Path) -> None:
    with running_server(repository) as server:
        connection, _ = half_sent_request(server, video)
        server.process.send_signal(signal.SIGTERM)
        wait_until_it_drains(server)
        server.process.send_signal(signal.SIGTERM)  # the same one through make, a group or a supervisor: no hurry
        time.sleep(1)
        assert server.process.poll() is None
        assert server.stop(timeout_s=2) == -signal.SIGTERM
        connection.close()


def test_an_idle_server_stops_at_once_with_0(repository: Path) -> None:
    with running_server(repository) as server:
        assert server.stop(signal.SIGINT, timeout_s=15) == 0


def test_a_drain_that_takes_too_long_ends_anyway(repository: Path, video: Path) -> None:
    with running_server(repository, env={"LAPS_DRAIN_TIMEOUT_S": "1"}) as server:
        connection, _ = half_sent_request(server, video)
        assert server.stop(timeout_s=30) == 0
        connection.close()


def test_a_client_that_goes_away_during_its_upload_leaves_nothing(repository: Path, video: Path) -> None:
    with running_server(repository) as server:
        httpx.post(f"{server.url}/classify", content=video.read_bytes())
        before = open_fds(server)
        for _ in range(5):
            half_sent_request(server, video)[0].close()
        deadline = time.monotonic() + 10
        while open_fds(server) > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert open_fds(server) <= before
        assert httpx.post(f"{server.url}/classify", content=video.read_bytes()).status_code == 200


def test_a_client_that_goes_away_during_inference_frees_its_place(tmp_path: Path, video: Path) -> None:
    write_model(tmp_path, "slow", graph=slow_graph(frames=4, size=32, classes=4))
    env = {"LAPS_MAX_REQUESTS": "1", "LAPS_MAX_BATCH_VIEWS": "1"}
    with running_server(tmp_path, env=env) as server:
        connection, rest = half_sent_request(server, video, "?views=64x3")
        connection.sendall(rest)
        assert httpx.post(f"{server.url}/classify", content=b"x").json()["error"]["code"] == "overloaded"
        assert cpu_seconds(server, over_s=0.5) > 0.1, "it does not work for a client that is there"
        connection.close()
        server.wait_for(re.compile(r"POST /classify 499"), timeout_s=2)
        began = time.monotonic()
        # The views that nobody waits for are not run: all of them would keep the cores busy for much longer.
        while cpu_seconds(server, over_s=0.5) > 0.1:
            assert time.monotonic() - began < 6, "the server works on for a client that is gone"
        assert httpx.post(f"{server.url}/classify?views=1x1", content=video.read_bytes(), timeout=60).status_code == 200


def test_too_many_requests_at_once_get_503_with_retry_after(repository: Path, video: Path) -> None:
    with running_server(repository, env={"LAPS_MAX_REQUESTS": "1"}) as server:
        connection, rest = half_sent_request(server, video)
        refused = httpx.post(f"{server.url}/classify", content=video.read_bytes())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        connection.sendall(rest)
        assert connection.recv(15).startswith(b"HTTP/1.1 200")
        connection.close()


def test_concurrent_requests_all_get_their_own_answer(repository: Path, tmp_path: Path) -> None:
    videos = {
        "red": write_colour_video(tmp_path / "red.mp4", [RED] * 20),
        "green": write_colour_video(tmp_path / "green.mp4", [GREEN] * 20),
    }
    got: list[tuple[str, str]] = []

    with running_server(repository) as server:

        def send(label: str) -> None:
            response = httpx.post(f"{server.url}/classify", content=videos[label].read_bytes(), timeout=60)
            got.append((label, response.json()["predictions"][0]["label"]))

        threads = [threading.Thread(target=send, args=(label,)) for label in ("red", "green") * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(got) == 16
    assert all(sent == answered for sent, answered in got)


def run_serve(repository: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "laps_server", "serve", "--port", "0", "--model-repository", str(repository)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_no_model_says_how_to_get_one_and_exits_non_zero(tmp_path: Path) -> None:
    done = run_serve(tmp_path)
    assert done.returncode == 2
    assert "laps-export onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_corrupt_model_at_boot_exits_non_zero(repository: Path) -> None:
    graph = repository / "colours" / "1" / "model.onnx"
    graph.write_bytes(os.urandom(graph.stat().st_size))
    done = run_serve(repository)
    assert done.returncode == 2
    assert "colours/1/model.onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_that_is_not_there_is_no_reason_to_go_on_with_another(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPS_DEVICE", "cuda")
    done = run_serve(repository)
    assert done.returncode == 1
    assert "device cuda" in done.stderr
    assert "GPU image" in done.stderr


def test_a_graph_that_does_not_fit_its_manifest_exits_non_zero(tmp_path: Path) -> None:
    write_model(tmp_path, "odd", graph=colour_graph(frames=8, size=32, classes=4))
    done = run_serve(tmp_path)
    assert done.returncode == 1
    assert "no input 'clips'" in done.stderr


def test_log_lines_carry_the_request_id(repository: Path, video: Path) -> None:
    with running_server(repository) as server:
        httpx.post(f"{server.url}/classify", content=video.read_bytes(), headers={"x-request-id": "trace-77"})
        server.wait_for(re.compile(r"\[trace-77\].* POST /classify 200"), timeout_s=10)


def test_a_full_disk_is_503_not_400(repository: Path, video: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    target = repository.parent / "tiny"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(target)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        with running_server(repository, env={"LAPS_UPLOAD_DIR": str(target)}) as server:
            response = httpx.post(f"{server.url}/classify", content=b"\0" * 300_000, timeout=30)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "storage_full")
            small = httpx.post(f"{server.url}/classify", content=video.read_bytes()[:40_000], timeout=30)
            assert small.status_code in (200, 422)
    finally:
        subprocess.run(["umount", str(target)], check=False)


def test_a_port_in_use_is_told_before_anything_is_loaded(repository: Path) -> None:
    with running_server(repository, ready=False) as server:
        port = server.url.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "laps_server", "serve", "--port", port, "--model-repository", str(repository)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_probes_may_use_head(repository: Path) -> None:
    with running_server(repository) as server:
        assert httpx.head(f"{server.url}/readyz").status_code == 200
        assert httpx.head(f"{server.url}/livez").status_code == 200
