"""What Triton gets of the trace that a batch works for, in each protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from laps_server.engines.triton.wire import InferRequest, Refused, connect
from laps_server.trace_context import carry_trace

SENT = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "vendor=1"}
REQUEST = InferRequest(model="colours", version=1, input="clip", outputs=("logits",), timeout_s=20)


class Refusing(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Keeps what came with a batch, and refuses it."""

    def __init__(self, came: list[dict[str, str]]) -> None:
        self._came = came

    async def ModelInfer(  # noqa: N802 - gRPC's name
        self, request: object, context: grpc.aio.ServicerContext
    ) -> service_pb2.ModelInferResponse:
        self._came.append({str(key): str(value) for key, value in context.invocation_metadata() or ()})
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")


@asynccontextmanager
async def refusing(scheme: str, came: list[dict[str, str]]) -> AsyncGenerator[str, None]:
    if scheme == "grpc":
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Refusing(came), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"grpc://127.0.0.1:{port}"
        finally:
            await server.stop(None)
        return

    async def refuse(request: web.Request) -> web.Response:
        came.append({name.lower(): value for name, value in request.headers.items()})
        await request.read()
        return web.json_response({"error": "no"}, status=400)

    app = web.Application()
    app.router.add_post("/v2/models/colours/versions/1/infer", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.server
@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("headers", [SENT, {}], ids=["traced", "not traced"])
async def test_a_batch_carries_its_trace(scheme: str, headers: dict[str, str]) -> None:
    came: list[dict[str, str]] = []
    carry_trace(headers)
    async with refusing(scheme, came) as url:
        wire = connect(url, ca_file=None)
        try:
            with pytest.raises(Refused):
                await wire.infer(REQUEST, np.zeros((1, 2, 4, 4, 3), np.uint8), None)
        finally:
            await wire.close()
    assert [{name: value for name, value in one.items() if name in SENT} for one in came] == [headers]
