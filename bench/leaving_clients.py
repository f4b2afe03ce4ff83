"""How long a place stays taken once its client has left: in its upload, while it is decoded, within its events.

PYTHONPATH=tests python -m bench.leaving_clients

A server of one request at a time. Its own log says when the request was over: nobody has to look at the right moment.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path

from support.hostile_server import HostileServer, hostile_server
from support.hostile_table import long_film
from support.raw_requests import connected

_END = re.compile(r"^(\S+ \S+) INFO .* POST /classify .* client_closed ")
_TIMEOUT_S = 20.0


def begin_upload(server: HostileServer, film: bytes) -> float:
    """Leave with half of the video sent; the wall clock then, as for all of these."""
    return _leave(server, film, sent=len(film) // 2, stay_s=0.2)


def begin_decoding(server: HostileServer, film: bytes) -> float:
    """Leave at any moment from the end of the upload on."""
    return _leave(server, film, sent=len(film), stay_s=random.uniform(0.1, 1.0))


def read_events(server: HostileServer, film: bytes) -> float:
    """Leave after any number of lines."""
    request = {"params": {"segments": "10s", "views": "2x1"}, "headers": {"accept": "text/event-stream"}}
    with server.client() as client, client.stream("POST", "/classify", content=film, **request) as response:  # type: ignore[arg-type]
        for _ in islice(response.iter_lines(), random.randrange(1, 30)):
            pass
    return time.time()


STAGES: dict[str, Callable[[HostileServer, bytes], float]] = {
    "upload": begin_upload,
    "decode": begin_decoding,
    "events": read_events,
}


def _leave(server: HostileServer, film: bytes, *, sent: int, stay_s: float) -> float:
    head = f"POST /classify?segments=10s&views=10x3 HTTP/1.1\r\nHost: x\r\nX-Api-Key: {server.key}\r\n"
    with connected(server.process.url) as connection:
        connection.sendall(f"{head}Content-Length: {len(film)}\r\n\r\n".encode() + film[:sent])
        time.sleep(stay_s)
    return time.time()


def freed_ms(server: HostileServer, left: float, *, since: int) -> float:
    """Milliseconds from then to the end of the request, by the server's log from line ``since`` on.

    Raises:
        TimeoutError: it does not end.
    """
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        for line in server.process.log[since:]:
            if found := _END.match(line):
                return 1000 * (datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp() - left)
        time.sleep(0.005)
    raise TimeoutError("a place stays taken")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        film = long_film(Path(name)).read_bytes()
        settings = {"LAPS_MAX_REQUESTS": "1", "LAPS_UPLOAD_IDLE_TIMEOUT_S": "60"}
        with hostile_server(Path(name), **settings) as server:
            print(
                "| client leaves in | times | median, ms | 95 of 100, ms | most, ms |\n| --- | --- | --- | --- | --- |"
            )
            for stage, leave in STAGES.items():
                took = []
                for _ in range(options.times):
                    since = len(server.process.log)
                    took.append(max(0.0, freed_ms(server, leave(server, film), since=since)))
                took.sort()
                late = took[int(0.95 * (len(took) - 1))]
                print(f"| {stage} | {len(took)} | {statistics.median(took):.1f} | {late:.1f} | {took[-1]:.1f} |")


if __name__ == "__main__":
    main()
