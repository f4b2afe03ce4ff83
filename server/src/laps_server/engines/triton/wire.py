"""Triton's two network protocols behind one interface; the only import of tritonclient.

Whatever goes wrong is raised as one of three: not reached (:class:`BackendUnavailable`), no answer
(:class:`BackendTimeout`), or an answer that says no (:class:`Refused`). Nothing here retries. Messages do not name
Triton's address, since clients are shown them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import aiohttp
import grpc
import numpy as np
import tritonclient.grpc.aio as grpc_client
import tritonclient.http.aio as http_client
from tritonclient.utils import InferenceServerException

from laps_server.arrays import Float32Array, UInt8Array
from laps_server.engines.base import InferResult
from laps_server.engines.triton.contract import ServedGraph
from laps_server.engines.triton.tls import authorities, http_context
from laps_server.errors import BackendTimeout, BackendUnavailable, LapsError
from laps_server.trace_context import trace_headers

_HINT = "send the request again later"
_MICROSECONDS = 1_000_000
# gRPC tells a certificate that it does not accept from a server that is away by its words alone.
_UNTRUSTED = re.compile("CERTIFICATE_VERIFY_FAILED|Hostname Verification|peer certificate", re.IGNORECASE)
_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    # A renewed channel is a new connection, and not the same one taken from those of the process.
    ("grpc.use_local_subchannel_pool", 1),
    # A Triton that comes back is found within a second, not after gRPC's own two minutes at most.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Refused(Exception):
    """Triton answered, and the answer is no; the engine decides what that means for the request.

    ``why``: it does not have what was asked for, as a model, a version or a region of memory; its queue is full; the
    request waited too long in its queue; or anything else.
    """

    def __init__(self, said: str, *, why: Literal["unknown", "full", "expired", "failed"] = "failed") -> None:
        super().__init__(said)
        self.why = why


@dataclass(frozen=True, slots=True)
class Region:
    """A place in shared memory that Triton has open: ``size_bytes`` from ``offset`` on."""

    name: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One inference: which version of which model, its tensors' names, and how long anybody waits.

    ``outputs`` are the logits and, of a model that has one, the embedding.
    """

    model: str
    version: int
    input: str
    outputs: tuple[str, ...]
    timeout_s: float


class Wire(Protocol):
    """One connection to one Triton. Every method but ``infer`` is bounded by ``timeout_s``."""

    async def server_ready(self, *, timeout_s: float) -> bool:
        """Whether all that it wants to serve is loaded."""
        ...

    async def model_ready(self, model: str, version: int, *, timeout_s: float) -> bool:
        """Whether this model takes requests."""
        ...

    async def graph(self, model: str, version: int, *, timeout_s: float) -> ServedGraph:
        """What it serves under that name."""
        ...

    async def infer(self, request: InferRequest, clips: UInt8Array, region: Region | None) -> InferResult:
        """Run ``clips`` ``[B, T, H, W, 3]``, from ``region`` if they lie there; cancelling this cancels the request."""
        ...

    async def regions(self, *, timeout_s: float) -> set[str]:
        """Names of the shared memory that it has open."""
        ...

    async def open_region(self, name: str, size_bytes: int, *, timeout_s: float) -> None:
        """Have it open the block of that name."""
        ...

    async def close_region(self, name: str, *, timeout_s: float) -> None:
        """Have it close the block; nothing where it has none of that name."""
        ...

    async def renew(self) -> None:
        """Make a new connection: the old one may be dead without either end having noticed."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


def connect(url: str, *, ca_file: Path | None = None) -> Wire:
    """The connection that a URL means; nothing is sent yet. Needs a running loop.

    Args:
        url: as ``grpc://host:port``; ``http``, and with TLS ``grpcs`` and ``https``.
        ca_file: with TLS, the authorities that are trusted in place of the system's.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "grpc":
            return GrpcWire(parts.netloc)
        case "grpcs":
            return GrpcWire(parts.netloc, credentials=grpc.ssl_channel_credentials(authorities(ca_file)))
        case "https":
            return HttpWire(parts.netloc, tls=http_context(ca_file))
        case _:
            return HttpWire(parts.netloc)


class GrpcWire:
    """Over gRPC: a cancelled request leaves Triton's queue."""

    def __init__(self, address: str, *, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._address = address
        self._credentials = credentials
        self._channel = _Channel(address, credentials)

    async def server_ready(self, *, timeout_s: float) -> bool:
        """See :class:`Wire`."""
        async with self._channel as client, _translated(timeout_s):
            return bool(await client.is_server_ready(client_timeout=timeout_s))

    async def model_ready(self, model: str, version: int, *, timeout_s: float) -> bool:
        """See :class:`Wire`."""
        async with self._channel as client, _translated(timeout_s):
            return bool(await client.is_model_ready(model, str(version), client_timeout=timeout_s))

    async def graph(self, model: str, version: int, *, timeout_s: float) -> ServedGraph:
        """See :class:`Wire`."""
        options: dict[str, Any] = {"as_json": True, "client_timeout": timeout_s}
        async with self._channel as client, _translated(timeout_s):
            metadata = await client.get_model_metadata(model, str(version), **options)
            config = await client.get_model_config(model, str(version), **options)
            return ServedGraph.parse(metadata, config["config"])

    async def infer(self, request: InferRequest, clips: UInt8Array, region: Region | None) -> InferResult:
        """See :class:`Wire`."""
        tensor = await asyncio.to_thread(_input, grpc_client, request, clips=clips, region=region)
        async with self._channel as client, _translated(request.timeout_s):
            result = await client.infer(
                request.model,
                [tensor],
                model_version=str(request.version),
                outputs=[grpc_client.InferRequestedOutput(name) for name in request.outputs],
                timeout=_in_microseconds(request.timeout_s),
                client_timeout=request.timeout_s,
                headers=dict(trace_headers()),
            )
            return InferResult(*(_floats(result, name) for name in request.outputs))

    async def regions(self, *, timeout_s: float) -> set[str]:
        """See :class:`Wire`."""
        async with self._channel as client, _translated(timeout_s):
            status = await client.get_system_shared_memory_status(as_json=True, client_timeout=timeout_s)
            return set(status.get("regions", {}))

    async def open_region(self, name: str, size_bytes: int, *, timeout_s: float) -> None:
        """See :class:`Wire`."""
        async with self._channel as client, _translated(timeout_s):
            await client.register_system_shared_memory(name, f"/{name}", size_bytes, client_timeout=timeout_s)

    async def close_region(self, name: str, *, timeout_s: float) -> None:
        """See :class:`Wire`."""
        async with self._channel as client, _translated(timeout_s):
            await client.unregister_system_shared_memory(name, client_timeout=timeout_s)

    async def renew(self) -> None:
        """See :class:`Wire`; keepalive pings were tried and do not replace this."""
        old, self._channel = self._channel, _Channel(self._address, self._credentials)
        await old.retire()

    async def close(self) -> None:
        """See :class:`Wire`."""
        await self._channel.retire()


class _Channel:
    """A client that is closed after its last use: closing it would cancel the requests in flight."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self._client = grpc_client.InferenceServerClient(address, creds=credentials, channel_args=_CHANNEL_OPTIONS)
        self._users = 0
        self._retired = False

    async def retire(self) -> None:
        """Close it, now or after the last request."""
        self._retired = True
        if self._users == 0:
            await self._client.close()

    async def __aenter__(self) -> Any:
        self._users += 1
        return self._client

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._retired and self._users == 0:
            await self._client.close()


class HttpWire:
    """Over HTTP, for networks that let nothing else through: Triton does not notice that a request was cancelled."""

    def __init__(self, address: str, *, tls: ssl.SSLContext | None = None) -> None:
        # The scheduler limits how many requests are in flight, and each has a timeout: the client must add no limit.
        self._client = http_client.InferenceServerClient(
            address, conn_limit=0, conn_timeout=None, ssl=tls is not None, ssl_context=tls
        )

    async def server_ready(self, *, timeout_s: float) -> bool:
        """See :class:`Wire`."""
        async with _translated(timeout_s):
            return bool(await self._client.is_server_ready())

    async def model_ready(self, model: str, version: int, *, timeout_s: float) -> bool:
        """See :class:`Wire`."""
        async with _translated(timeout_s):
            return bool(await self._client.is_model_ready(model, str(version)))

    async def graph(self, model: str, version: int, *, timeout_s: float) -> ServedGraph:
        """See :class:`Wire`."""
        async with _translated(timeout_s):
            metadata = await self._client.get_model_metadata(model, str(version))
            config = await self._client.get_model_config(model, str(version))
            return ServedGraph.parse(metadata, config)

    async def infer(self, request: InferRequest, clips: UInt8Array, region: Region | None) -> InferResult:
        """See :class:`Wire`."""
        tensor = await asyncio.to_thread(_input, http_client, request, clips=clips, region=region)
        async with _translated(request.timeout_s):
            result = await self._client.infer(
                request.model,
                [tensor],
                model_version=str(request.version),
                outputs=[http_client.InferRequestedOutput(name, binary_data=True) for name in request.outputs],
                timeout=_in_microseconds(request.timeout_s),
                headers=dict(trace_headers()),
            )
            return InferResult(*(_floats(result, name) for name in request.outputs))

    async def regions(self, *, timeout_s: float) -> set[str]:
        """See :class:`Wire`."""
        async with _translated(timeout_s):
            status: list[Mapping[str, Any]] = await self._client.get_system_shared_memory_status()
            return {str(region["name"]) for region in status}

    async def open_region(self, name: str, size_bytes: int, *, timeout_s: float) -> None:
        """See :class:`Wire`."""
        async with _translated(timeout_s):
            await self._client.register_system_shared_memory(name, f"/{name}", size_bytes)

    async def close_region(self, name: str, *, timeout_s: float) -> None:
        """See :class:`Wire`."""
        async with _translated(timeout_s):
            await self._client.unregister_system_shared_memory(name)

    async def renew(self) -> None:
        """See :class:`Wire`; a request that times out closes its connection, so there is nothing to do."""

    async def close(self) -> None:
        """See :class:`Wire`."""
        await self._client.close()


def _input(client: Any, request: InferRequest, *, clips: UInt8Array, region: Region | None) -> Any:
    """The input tensor in the client's own form; copies the pixels where they go over the wire."""
    tensor = client.InferInput(request.input, list(clips.shape), "UINT8")
    if region is None:
        tensor.set_data_from_numpy(clips)
    else:
        tensor.set_shared_memory(region.name, region.size_bytes, region.offset)
    return tensor


def _floats(result: Any, name: str) -> Float32Array:
    found = result.as_numpy(name)
    if found is None or found.dtype != np.float32:
        raise Refused(f"Triton answered without float32 {name!r}")
    array: Float32Array = found
    return array


def _in_microseconds(seconds: float) -> int:
    return max(1, int(seconds * _MICROSECONDS))


@asynccontextmanager
async def _translated(timeout_s: float) -> AsyncIterator[None]:
    """Bound what is awaited inside, and turn whatever it raises into this module's three."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as exc:
        raise BackendTimeout(f"Triton did not answer within {timeout_s:.3g} s", hint=_HINT) from exc
    except InferenceServerException as exc:
        raise _from_triton(exc) from exc
    except aiohttp.ClientConnectorCertificateError as exc:
        raise _not_trusted() from exc
    except (aiohttp.ClientError, grpc.RpcError, OSError) as exc:
        raise BackendUnavailable("Triton cannot be reached", hint=_HINT) from exc
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        # Something answered, as a proxy's page does, that does not speak the protocol.
        raise Refused(f"its answer is none of Triton's ({type(exc).__name__})") from exc


def _from_triton(exc: InferenceServerException) -> LapsError | Refused:
    """An error that tritonclient raised, by its status: gRPC's words over gRPC, numbers over HTTP."""
    status = str(exc.status()).removeprefix("StatusCode.")
    said = str(exc.message())
    if "timeout expired" in said.lower():
        return Refused(said, why="expired")
    if "maximum queue size" in said.lower():
        return Refused(said, why="full")
    if status == "DEADLINE_EXCEEDED":
        return BackendTimeout("Triton did not answer in time", hint=_HINT)
    if _UNTRUSTED.search(said):
        return _not_trusted()
    if status in {"UNAVAILABLE", "CANCELLED", "502", "503", "504"}:
        return BackendUnavailable("Triton cannot be reached", hint=_HINT)
    return Refused(said, why="unknown" if status in {"NOT_FOUND", "404"} else "failed")


def _not_trusted() -> BackendUnavailable:
    return BackendUnavailable(
        "Triton's certificate is not trusted: it is of another authority or for another host",
        hint="see LAPS_TRITON_CA_FILE",
    )
