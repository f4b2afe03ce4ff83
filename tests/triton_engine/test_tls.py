"""Triton behind TLS: its own for gRPC, a proxy's for HTTP, which Triton serves without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from laps_server.engines.choices import SharedMemoryMode
from support.certificates import make_certificate, server_context
from support.dying_connections import Middle
from support.real_triton import FRAMES, SIZE, StartedEngine, own_blocks, running_triton


@pytest.mark.parametrize(("scheme", "shared_memory"), [("grpcs", "on"), ("grpcs", "off"), ("https", "off")])
async def test_batches_go_through_tls(
    twin: Path, tmp_path: Path, engine_of: StartedEngine, scheme: str, shared_memory: SharedMemoryMode
) -> None:
    own = make_certificate(tmp_path)
    tls = ("--grpc-use-ssl=true", f"--grpc-server-cert={own}", f"--grpc-server-key={own}")
    clips = np.random.default_rng(0).integers(0, 256, (3, FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    with running_triton(twin.parents[1], tmp_path / "log", *tls) as triton:
        proxy = Middle(triton.http_port, tls=server_context(own))
        port = triton.grpc_port if scheme == "grpcs" else await proxy.start()
        try:
            url = f"{scheme}://127.0.0.1:{port}"
            async with engine_of(url, shared_memory=shared_memory, ca_file=own) as engine:
                assert bool(own_blocks()) == (shared_memory == "on")
                result = await engine.infer(clips)
        finally:
            await proxy.close()
    assert result.logits.shape == (3, FRAMES, 4)
