"""A server follows its model repository: what is copied in, replaced, broken and taken away."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from onnx import helper
from prometheus_client.parser import text_string_to_metric_families

from laps_server.access.key_file import change_keys
from laps_server.access.keys import ApiKey, KeyRing, new_key_text
from laps_server.engines.fake import FakeEngine
from laps_server.errors import NoModels, NotReady, ShuttingDown
from laps_server.models.repository import ModelFiles, find_versions
from laps_server.repository_watch import RepositoryWatch
from laps_server.runtime import Runtime, build_runtime
from laps_server.scheduler import Scheduler
from laps_server.served_models import ServedModel, ServedModels
from laps_server.settings import Settings
from laps_server.video.decode_pool import DecodePool
from support.bare_runtime import classify, started
from support.live_servers import ServerProcess, running_server
from support.model_repositories import colour_graph, write_model
from support.plain_videos import GREEN, RED, write_colour_video


class Home:
    """A repository, what is put into it, and a video."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.video = write_colour_video(folder / "clip.mp4", [RED, GREEN] * 10)
        write_model(self.models, "colours")
        write_model(self.models, "other")

    def made(self, name: str, **options: Any) -> Path:
        """A model's folder beside the repository."""
        shutil.rmtree(self.folder / "made", ignore_errors=True)
        return write_model(self.folder / "made", name, **options)

    def put(self, name: str, version: int, **options: Any) -> Path:
        """A version, in the repository at once."""
        made = self.made(name, version=version, **options)
        place = self.models / name / str(version)
        place.parent.mkdir(exist_ok=True)
        shutil.copy(made / "labels.txt", place.parent / "labels.txt")
        return (made / str(version)).rename(place)

    def remove(self, name: str, version: int | None = None) -> None:
        shutil.rmtree(self.models / name if version is None else self.models / name / str(version))


@dataclass(frozen=True)
class Server:
    """A server, asked with a key that may do everything."""

    process: ServerProcess
    client: httpx.Client
    home: Home

    def reload(self) -> dict[str, Any]:
        answer = self.client.post("/admin/reload")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def versions(self, name: str) -> list[int]:
        models = self.client.get("/models").json()["models"]
        return [version for model in models if model["name"] == name for version in model["versions"]]

    def answering(self, name: str) -> int:
        answer = self.client.post(f"/classify?model={name}", content=self.home.video.read_bytes())
        assert answer.status_code == 200, answer.text
        return int(answer.json()["model"]["version"])

    def metric(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        wanted = labels.items()
        return sum(s.value for f in families for s in f.samples if s.name == name and wanted <= s.labels.items())

    def lines(self, text: str) -> int:
        return sum(text in line for line in self.process.log)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Looks when it is asked to. Each test has a model of its own name."""
    home = Home(tmp_path_factory.mktemp("asked"))
    (boss, boss_text, boss_hash), (user, user_text, user_hash) = new_key_text(), new_key_text()
    ring = KeyRing(
        [
            ApiKey(boss, "boss", boss_hash, "2026-01-01", admin=True),
            ApiKey(user, "user", user_hash, "2026-01-01"),
        ]
    )
    change_keys(home.folder / "keys.json", lambda _: ring)
    (home.folder / "user").write_text(user_text)
    env = {"LAPS_RELOAD_INTERVAL_S": "0", "LAPS_KEYS_FILE": str(home.folder / "keys.json")}
    with (
        running_server(home.models, env=env) as process,
        httpx.Client(base_url=process.url, headers={"x-api-key": boss_text}, timeout=60) as client,
    ):
        yield Server(process, client, home)


@pytest.fixture(scope="module")
def polling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Looks by itself, three times a second."""
    home = Home(tmp_path_factory.mktemp("polling"))
    with (
        running_server(home.models, env={"LAPS_RELOAD_INTERVAL_S": "0.3"}) as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
    ):
        yield Server(process, client, home)


def eventually(check: Callable[[], bool], *, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it never happens"
        time.sleep(0.05)


# Coming and going --------------------------------------------------------------------------------------


def test_versions_and_models_that_come_and_go_are_followed_without_being_asked(polling: Server) -> None:
    home = polling.home
    home.put("new", 7)
    eventually(lambda: polling.versions("new") == [7])
    assert polling.answering("new") == 7
    home.put("new", 8)
    eventually(lambda: polling.versions("new") == [8])
    assert polling.answering("new") == 8
    home.remove("new", 8)
    eventually(lambda: polling.versions("new") == [7])
    home.remove("new")
    eventually(lambda: polling.versions("new") == [])
    answer = polling.client.post("/classify?model=new", content=home.video.read_bytes())
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert (polling.versions("colours"), polling.versions("other")) == ([1], [1])


def test_a_version_that_is_being_copied_is_not_taken_half(polling: Server) -> None:
    home = polling.home
    home.put("copied", 1)
    eventually(lambda: polling.versions("copied") == [1])
    made = home.made("copied", version=2) / "2"
    place = home.models / "copied" / "2"
    place.mkdir()
    shutil.copy(made / "laps.json", place / "laps.json")
    content = (made / "model.onnx").read_bytes()
    pieces = 20
    with (place / "model.onnx").open("wb") as file:
        for piece in range(pieces):
            file.write(content[piece * len(content) // pieces : (piece + 1) * len(content) // pieces])
            file.flush()
            time.sleep(0.1)
    eventually(lambda: polling.versions("copied") == [2])
    assert polling.lines("copied/2 is not served") == 0, "half a file was looked into"


def test_a_bad_version_is_tried_once_until_it_changes(polling: Server) -> None:
    home = polling.home
    graph = home.put("tried", 1) / "model.onnx"
    graph.write_bytes(b"another file")
    eventually(lambda: polling.lines("tried/1 is not served") == 1)
    time.sleep(1)
    assert polling.lines("tried/1 is not served") == 1
    graph.write_bytes(b"and another")
    eventually(lambda: polling.lines("tried/1 is not served") == 2)
    home.remove("tried")
    eventually(lambda: polling.client.get("/models").json()["failed"] == [])


def test_without_keys_nobody_reloads_not_even_from_this_machine(polling: Server) -> None:
    refused = polling.client.post("/admin/reload")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "keys_file" in refused.json()["error"]["hint"]


def test_a_reload_answers_what_it_changed(server: Server) -> None:
    server.home.put("asked", 1)
    time.sleep(0.5)
    assert server.versions("asked") == [], "without an interval, nobody looks but who is asked to"
    assert server.reload() == {"added": ["asked/1"], "retired": [], "failed": []}
    assert server.answering("asked") == 1
    server.home.put("asked", 2)
    assert server.reload() == {"added": ["asked/2"], "retired": ["asked/1"], "failed": []}
    assert server.answering("asked") == 2
    assert server.reload() == {"added": [], "retired": [], "failed": []}
    assert server.metric("laps_model_loads_total", model="asked", version="2", outcome="ok") == 1


def test_only_a_key_for_administration_reloads(server: Server) -> None:
    url = f"{server.process.url}/admin/reload"
    assert httpx.post(url).status_code == 401
    user = (server.home.folder / "user").read_text()
    assert httpx.post(url, headers={"x-api-key": user}).status_code == 403
    assert server.client.get("/admin/reload").status_code == 405


def test_a_request_in_flight_is_answered_by_the_version_that_it_began_with(server: Server) -> None:
    server.home.put("held", 1)
    server.reload()
    answers: list[httpx.Response] = []
    begun, swapped = threading.Event(), threading.Event()

    def upload() -> Iterator[bytes]:
        content = server.home.video.read_bytes()
        yield content[:100]
        begun.set()
        swapped.wait(60)
        yield content[100:]

    sending = threading.Thread(
        target=lambda: answers.append(server.client.post("/classify?model=held", content=upload()))
    )
    sending.start()
    assert begun.wait(60)
    time.sleep(0.5)  # for the request's headers to arrive, by which its version is chosen
    server.home.put("held", 2)
    assert server.reload()["added"] == ["held/2"]
    assert server.answering("held") == 2
    assert server.lines("held/1 is closed") == 0
    swapped.set()
    sending.join()
    assert [(answer.status_code, answer.json()["model"]["version"]) for answer in answers] == [(200, 1)]
    eventually(lambda: server.lines("held/1 is closed") == 1)


# What is wrong -----------------------------------------------------------------------------------------


def bad_hash(home: Home, name: str) -> None:
    graph = home.put(name, 2) / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")


def bad_manifest(home: Home, name: str) -> None:
    (home.put(name, 2) / "laps.json").write_text("{}")


def load_failure(home: Home, name: str) -> None:
    graph = colour_graph(frames=4, size=32, classes=4)
    graph.graph.node[0].op_type = "NoSuchOperator"
    home.put(name, 2, graph=graph)


def other_graph(home: Home, name: str) -> None:
    home.put(name, 2, graph=colour_graph(frames=8, size=32, classes=4))


def not_finite(home: Home, name: str) -> None:
    graph = colour_graph(frames=4, size=32, classes=4)
    graph.graph.node[-1].output[0] = "right"
    steps = (("Abs", "right", "above_0"), ("Neg", "above_0", "below_0"), ("Log", "below_0", "frame_logits"))
    graph.graph.node.extend(helper.make_node(step, [before], [after]) for step, before, after in steps)
    onnx.checker.check_model(graph)
    home.put(name, 2, graph=graph)


def link_out(home: Home, name: str) -> None:
    graph = home.put(name, 2) / "model.onnx"
    graph.rename(home.folder / "model.onnx")
    graph.symlink_to(home.folder / "model.onnx")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (bad_hash, "model_corrupt"),
        (bad_manifest, "manifest_invalid"),
        (load_failure, "model_corrupt"),
        (other_graph, "model_corrupt"),
        (not_finite, "model_corrupt"),
        (link_out, "model_corrupt"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_version_leaves_the_old_one_and_is_seen(
    server: Server, spoil: Callable[[Home, str], None], code: str
) -> None:
    home, name = server.home, spoil.__name__
    home.put(name, 1)
    server.reload()
    spoil(home, name)
    answer = server.reload()
    assert (answer["added"], answer["retired"]) == ([], [])
    (told,) = answer["failed"]
    assert (told["name"], told["version"], told["code"]) == (name, 2, code)
    assert str(home.folder) not in str(answer), "no client is told where files lie"
    assert server.answering(name) == 1
    assert server.client.get("/models").json()["failed"] == [told]
    ready = httpx.get(f"{server.process.url}/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (200, f"failed: {name}/2 ({code})")
    assert server.metric("laps_model_failed", model=name, version="2", code=code) == 1
    assert server.metric("laps_model_loads_total", model=name, version="2", outcome=code) == 1
    # Put right, it is served, and nothing is wrong any more.
    home.remove(name, 2)
    home.put(name, 2)
    assert server.reload() == {"added": [f"{name}/2"], "retired": [f"{name}/1"], "failed": []}
    assert server.answering(name) == 2
    assert httpx.get(f"{server.process.url}/readyz").json()["detail"] is None
    assert server.metric("laps_model_failed") == 0


def test_other_files_under_a_number_that_is_served_are_refused(server: Server) -> None:
    home = server.home
    home.put("changed", 1)
    server.reload()
    (home.models / "changed" / "1" / "laps.json").touch()
    assert server.reload()["failed"] == [], "the same files with another date are the same version"
    home.remove("changed")
    home.put("changed", 1, temperature=2.0)
    (failed,) = server.reload()["failed"]
    assert failed["code"] == "version_changed"
    assert "changed/1" in failed["message"]
    assert server.answering("changed") == 1
    home.remove("changed")
    assert server.reload() == {"added": [], "retired": ["changed/1"], "failed": []}


# Without a server: what needs settings of its own ------------------------------------------------------


def runtime_of(home: Home, **settings: Any) -> Runtime:
    return build_runtime(Settings(model_repository=home.models, threads=1, decode="thread", **settings))


def served(runtime: Runtime) -> list[str]:
    return [model.ref for model in runtime.served.versions]


async def test_all_versions_are_served_where_all_are_wanted(home: Home) -> None:
    async with started(runtime_of(home, versions="all")) as runtime:
        home.put("colours", 2)
        await runtime.reload()
        assert served(runtime) == ["colours/1", "colours/2", "other/1"]
        home.remove("colours", 1)
        await runtime.reload()
        assert served(runtime) == ["colours/2", "other/1"]


async def test_the_model_that_answers_where_none_is_named_stays(home: Home) -> None:
    async with started(runtime_of(home, default_model="colours")) as runtime:
        home.remove("colours")
        assert (await runtime.reload()).retired == []
        assert [(item.ref, item.code) for item in runtime.failed_versions] == [("colours/1", "no_models")]
        assert (await classify(runtime, home.video)).model == "colours"
        home.put("colours", 1)
        await runtime.reload()
        assert runtime.failed_versions == ()


async def test_an_empty_repository_is_a_disk_that_is_not_mounted(home: Home) -> None:
    async with started(runtime_of(home)) as runtime:
        home.models.rename(home.folder / "away")
        home.models.mkdir()
        with pytest.raises(NoModels):
            await runtime.reload()
        assert served(runtime) == ["colours/1", "other/1"]


async def test_a_version_without_room_is_refused_and_tried_again_when_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(runtime_of(home, max_memory_mib=100_000)) as runtime:
        home.put("colours", 2)
        with monkeypatch.context() as full:
            full.setattr("laps_server.runtime.used_bytes", lambda: 99_999 * 2**20)
            await runtime.reload()
        (failed,) = runtime.failed_versions
        assert (failed.ref, failed.code) == ("colours/2", "not_enough_memory")
        assert "beside the 99999 MiB in use, of 100000 MiB allowed" in failed.message
        assert (await classify(runtime, home.video)).version == 1
        assert (await runtime.reload()).added == ["colours/2"]
        assert (await classify(runtime, home.video)).version == 2


async def test_what_a_version_took_is_what_the_next_one_needs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([0, 500 * 2**20, 500 * 2**20, 500 * 2**20])
    monkeypatch.setattr("laps_server.served_models.used_bytes", lambda: next(taken))
    async with started(runtime_of(home, max_memory_mib=1000)) as runtime:
        home.put("colours", 2)
        monkeypatch.setattr("laps_server.runtime.used_bytes", lambda: 600 * 2**20)
        await runtime.reload()
        (failed,) = runtime.failed_versions
        assert failed.message.startswith("it needs about 500 MiB beside the 600 MiB")


async def test_nothing_is_loaded_before_the_start_nor_while_the_server_ends(home: Home) -> None:
    runtime = runtime_of(home)
    with pytest.raises(NotReady):
        await runtime.reload()
    async with started(runtime):
        runtime.drain()
        with pytest.raises(ShuttingDown):
            await runtime.reload()


# What a look by itself does, one after the other -------------------------------------------------------


@asynccontextmanager
async def watching(
    home: Home, *, interval_s: float = 0, build: Callable[[ModelFiles], ServedModel] | None = None
) -> AsyncGenerator[tuple[RepositoryWatch, ServedModels]]:
    """A watch over engines without graphs."""

    def built(files: ModelFiles) -> ServedModel:
        engine = FakeEngine(clip_shape=(4, 32, 32, 3), classes=4)
        return ServedModel(files, Scheduler(engine, batch_sizes=(1,), max_queued_views=64))

    find = partial(find_versions, home.models, versions="latest")
    served = ServedModels([built(item.read()) for item in find()], default_model="other")
    watch = RepositoryWatch(served, find=find, build=build or built, check_room=lambda _: None, interval_s=interval_s)
    async with started(Runtime(served, DecodePool(1), watch=watch)):
        yield watch, served


async def test_a_folder_that_is_gone_for_a_moment_is_still_served(home: Home) -> None:
    async with watching(home) as (watch, models):
        for _ in range(2):
            (home.models / "colours").rename(home.folder / "away")
            assert (await watch.look()).retired == []
            (home.folder / "away").rename(home.models / "colours")
            assert (await watch.look()).retired == []
        (home.models / "colours").rename(home.folder / "away")
        await watch.look()
        assert (await watch.look()).retired == ["colours/1"]
        assert [model.ref for model in models.versions] == ["other/1"]


async def test_a_defect_in_one_version_does_not_touch_the_others(home: Home) -> None:
    def broken(files: ModelFiles) -> ServedModel:
        raise RuntimeError(f"no such thing in {files.folder}")

    async with watching(home, build=broken) as (watch, models):
        home.put("colours", 2)
        await watch.look(settled=True)
        (failed,) = watch.failed
        assert (failed.ref, failed.code) == ("colours/2", "internal")
        assert [model.ref for model in models.versions] == ["colours/1", "other/1"]


async def test_a_repository_that_cannot_be_looked_at_is_told_once_and_looked_at_again(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(home, interval_s=0.02) as (watch, models):
        watch.start()
        home.models.rename(home.folder / "away")
        await asyncio.sleep(0.3)
        assert [record.exc_info for record in caplog.records if "cannot be looked at" in record.message] == [None]
        (home.folder / "away").rename(home.models)
        home.put("colours", 2)
        async with asyncio.timeout(30):
            while [model.ref for model in models.versions] != ["colours/2", "other/1"]:
                await asyncio.sleep(0.02)


# Swaps under load --------------------------------------------------------------------------------------


def swapped_under_load(home: Home, *, swaps: int, every_s: float) -> tuple[list[float], set[int]]:
    """Put the next version every so often while clients send; seconds of each request, and versions that answered."""
    seconds: list[float] = []
    versions: set[int] = set()
    refused: list[str] = []
    over = threading.Event()
    video = home.video.read_bytes()

    def client(url: str) -> None:
        # A server closes connections that are idle for long, and on a busy machine a client may be as slow as that.
        limits = httpx.Limits(keepalive_expiry=1)
        with httpx.Client(base_url=url, timeout=120, limits=limits) as client:
            while not over.is_set():
                began = time.monotonic()
                try:
                    answer = client.post("/classify?model=colours&views=1x1", content=video)
                except httpx.TransportError as exc:
                    refused.append(f"{exc!r} after {time.monotonic() - began:.1f} s")
                    continue
                seconds.append(time.monotonic() - began)
                if answer.status_code == 200:
                    versions.add(answer.json()["model"]["version"])
                else:
                    refused.append(answer.text)

    with running_server(home.models, env={"LAPS_RELOAD_INTERVAL_S": str(every_s / 4)}) as server:
        clients = [threading.Thread(target=client, args=(server.url,)) for _ in range(4)]
        for thread in clients:
            thread.start()
        try:
            for version in range(2, swaps + 2):
                began = time.monotonic()
                home.put("colours", version)
                eventually(lambda wanted=version: wanted in versions, timeout_s=180)  # type: ignore[misc]
                home.remove("colours", version - 1)
                time.sleep(max(0.0, every_s - (time.monotonic() - began)))
        finally:
            over.set()
            for thread in clients:
                thread.join()
        assert refused == []
        eventually(lambda: any(f"colours/{swaps} is closed" in line for line in server.log), timeout_s=180)
    return seconds, versions


def test_swaps_under_load_fail_no_request(home: Home) -> None:
    seconds, versions = swapped_under_load(home, swaps=4, every_s=0.4)
    assert versions == set(range(1, 6))
    assert len(seconds) > 10


@pytest.mark.long
def test_a_version_swapped_every_two_seconds_for_a_minute_fails_no_request(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    swaps = 30
    began = time.monotonic()
    seconds, versions = swapped_under_load(home, swaps=swaps, every_s=2.0)
    took_s = time.monotonic() - began
    assert versions == set(range(1, swaps + 2))
    seconds.sort()
    with capsys.disabled():
        print(  # noqa: T201 - figures for whoever runs it
            f"\n{swaps} swaps, one every {took_s / swaps:.1f} s, {len(seconds)} requests, none failed: "
            f"p50 {seconds[len(seconds) // 2] * 1000:.0f} ms, "
            f"p99 {seconds[len(seconds) * 99 // 100] * 1000:.0f} ms, longest {seconds[-1] * 1000:.0f} ms"
        )
