"""grpcs:// and https:// to an endpoint with a certificate of the test's own; tests/triton_engine has Triton."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from laps_server.engines.triton.wire import connect
from laps_server.errors import BackendUnavailable
from support.certificates import make_certificate, server_context
from support.dying_connections import Middle

SCHEMES = pytest.mark.parametrize("scheme", ["grpcs", "https"])


class ReadyServicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Ready, and nothing else."""

    async def ServerReady(self, request: object, context: object) -> service_pb2.ServerReadyResponse:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=True)


@asynccontextmanager
async def ready_port(scheme: str) -> AsyncGenerator[int, None]:
    """A server without TLS that says that it is ready, in the protocol under ``scheme``."""
    if scheme == "grpcs":
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(ReadyServicer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield port
        finally:
            await server.stop(None)
        return

    async def ready(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/v2/health/ready", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def is_ready(scheme: str, certificate: Path, *, ca_file: Path | None, host: str = "127.0.0.1") -> bool:
    """Ask a server with ``certificate`` by way of the wire."""
    async with ready_port(scheme) as port:
        middle = Middle(port, tls=server_context(certificate))
        wire = connect(f"{scheme}://{host}:{await middle.start()}", ca_file=ca_file)
        try:
            return await wire.server_ready(timeout_s=20)
        finally:
            await wire.close()
            await middle.close()


@SCHEMES
async def test_who_is_in_the_ca_file_is_trusted(scheme: str, tmp_path: Path) -> None:
    own = make_certificate(tmp_path)
    assert await is_ready(scheme, own, ca_file=own)


@SCHEMES
async def test_without_a_ca_file_the_systems_authorities_are(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make_certificate(tmp_path)
    with pytest.raises(BackendUnavailable, match="certificate is not trusted"):
        await is_ready(scheme, own, ca_file=None)
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert await is_ready(scheme, own, ca_file=None)


@SCHEMES
@pytest.mark.parametrize("wrong", ["authority", "host"])
async def test_a_certificate_that_is_not_trusted_is_told_as_that(scheme: str, tmp_path: Path, wrong: str) -> None:
    own = make_certificate(tmp_path)
    trusted = make_certificate(tmp_path, "another") if wrong == "authority" else own
    host = "localhost" if wrong == "host" else "127.0.0.1"
    with pytest.raises(BackendUnavailable, match="certificate is not trusted") as caught:
        await is_ready(scheme, own, ca_file=trusted, host=host)
    assert caught.value.hint == "see LAPS_TRITON_CA_FILE"


@SCHEMES
async def test_a_server_without_tls_is_not_reached(scheme: str, tmp_path: Path) -> None:
    own = make_certificate(tmp_path)
    async with ready_port(scheme) as port:
        wire = connect(f"{scheme}://127.0.0.1:{port}", ca_file=own)
        try:
            with pytest.raises(BackendUnavailable, match="cannot be reached"):
                await wire.server_ready(timeout_s=20)
        finally:
            await wire.close()
