"""A handler as model zoos ship them, behind one endpoint: initialize, preprocess, inference, postprocess.

It decodes every frame of the video to RGB, then samples, as the pipelines of video model zoos do that read a whole
file first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench.peers import views
from bench.peers.workers import run_workers
from fastapi import FastAPI, UploadFile


class Handler:
    """One model's handler."""

    def initialize(self, model: Path, threads: int, batch: int) -> None:
        """Load the model."""
        self.recipe = views.Recipe.read(model)
        self.session = views.open_session(self.recipe, threads)
        self.batch = batch

    def preprocess(self, video: bytes) -> views.UInt8Array:
        """Decode all of it, sample, crop: ``[V, T, H, W, 3]``."""
        frames, numbers = views.every_frame(video, self.recipe)
        return views.clips_of(frames, numbers, self.recipe)

    def inference(self, clips: views.UInt8Array) -> views.FloatArray:
        """Logits ``[V, R, K]``."""
        return views.run(self.session, clips, self.batch)

    def postprocess(self, logits: views.FloatArray) -> dict[str, Any]:
        """The best label."""
        return views.answer(logits, self.recipe)

    def handle(self, video: bytes) -> dict[str, Any]:
        """All of it."""
        return self.postprocess(self.inference(self.preprocess(video)))


def create_app() -> FastAPI:
    """The application of one worker."""
    handler = Handler()
    handler.initialize(Path(os.environ["PEER_MODEL"]), int(os.environ["PEER_THREADS"]), int(os.environ["PEER_BATCH"]))
    app = FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/predict")
    def predict(file: UploadFile) -> dict[str, Any]:
        return handler.handle(file.file.read())

    return app


if __name__ == "__main__":
    run_workers("bench.peers.zoo_handler.server:create_app")
