"""Something between two ends of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl


class Middle:
    """A forwarder whose connections can die without a word, as when a machine or its network is lost.

    With ``tls`` it is the end of TLS, as a proxy in front of a server that has none.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self._dead: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._clients: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0, ssl=self._tls)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def lose_connections(self) -> None:
        """Those that there are now stay open, and nothing comes through any more."""
        self._dead = set(range(len(self._writers)))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in (*self._writers, *self._clients):
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(writer)
        if (joining := asyncio.current_task()) is not None:
            self._tasks.append(joining)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            number = len(self._writers)
            self._writers.append(target)
            self._tasks.append(asyncio.create_task(self._pump(source, target, number)))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, number: int) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if number not in self._dead:
                    target.write(data)
                    await target.drain()
        if number not in self._dead:
            target.close()
