"""Worker processes of a peer that is a FastAPI application, from the command line that every peer has."""

from __future__ import annotations

import os

import uvicorn
from bench.peers import views


def run_workers(application: str) -> None:
    """Serve what ``application``, as ``module:function``, makes; it reads the variables ``PEER_…``."""
    given = views.arguments()
    os.environ |= {"PEER_MODEL": str(given.model), "PEER_THREADS": str(given.threads), "PEER_BATCH": str(given.batch)}
    uvicorn.run(application, factory=True, port=given.port, workers=given.workers, log_level="warning")
