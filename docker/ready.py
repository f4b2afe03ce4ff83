"""The container's health check: succeeds where the server beside it answers ``/readyz`` with 200.

Standard library alone, and no proxy from the environment: the question stays inside the container.
"""

from __future__ import annotations

import http.client
import os
import sys

_TIMEOUT_S = 4


def main() -> int:
    """Exit status: 0 ready, 1 not."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("LAPS_PORT", "8000")), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return 0 if connection.getresponse().status == http.HTTPStatus.OK else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
