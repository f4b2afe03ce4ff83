"""A plain FastAPI endpoint over an ONNX Runtime session, as both projects' tutorials have it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench.peers import views
from bench.peers.workers import run_workers
from fastapi import FastAPI, UploadFile


def create_app() -> FastAPI:
    """The application of one worker."""
    recipe = views.Recipe.read(Path(os.environ["PEER_MODEL"]))
    session = views.open_session(recipe, int(os.environ["PEER_THREADS"]))
    batch = int(os.environ["PEER_BATCH"])
    app = FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    # Not `async`: FastAPI runs it in a thread, so that one request decodes while another one infers.
    @app.post("/predict")
    def predict(file: UploadFile) -> dict[str, Any]:
        frames, numbers = views.needed_frames(file.file.read(), recipe)
        return views.answer(views.run(session, views.clips_of(frames, numbers, recipe), batch), recipe)

    return app


if __name__ == "__main__":
    run_workers("bench.peers.fastapi_ort.server:create_app")
