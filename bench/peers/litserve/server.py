"""LitServe with its own batching: requests that wait together are run together."""

# Annotations stay as they are: LitServe looks at that of a request.

from typing import Any

import litserve as ls
import numpy as np
from bench.peers import views

MAX_REQUESTS = 4
BATCH_TIMEOUT_S = 0.01


class VideoAPI(ls.LitAPI):  # type: ignore[misc]  # litserve is in this peer's environment alone
    """decode_request, batch, predict, unbatch, encode_response: in a worker process each."""

    def __init__(self, given: Any) -> None:
        super().__init__(max_batch_size=MAX_REQUESTS, batch_timeout=BATCH_TIMEOUT_S)
        self.given = given

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Once in each worker."""
        self.recipe = views.Recipe.read(self.given.model)
        self.session = views.open_session(self.recipe, self.given.threads)

    def decode_request(self, request: ls.Request) -> views.UInt8Array:
        """A form with a file -> ``[V, T, H, W, 3]``."""
        frames, numbers = views.needed_frames(request["file"].file.read(), self.recipe)
        return views.clips_of(frames, numbers, self.recipe)

    def batch(self, inputs: list[views.UInt8Array]) -> views.UInt8Array:
        """All views of all requests, one behind the other."""
        return np.concatenate(inputs)

    def predict(self, batch: views.UInt8Array) -> views.FloatArray:
        """Logits of all views."""
        return views.run(self.session, batch, self.given.batch)

    def unbatch(self, output: views.FloatArray) -> list[views.FloatArray]:
        """Each request's views again: as many for each."""
        return np.split(output, len(output) // (self.recipe.clips * self.recipe.crops))

    def encode_response(self, output: views.FloatArray) -> dict[str, Any]:
        """The best label."""
        return views.answer(output, self.recipe)


if __name__ == "__main__":
    options = views.arguments()
    server = ls.LitServer(VideoAPI(options), accelerator="cpu", workers_per_device=options.workers, timeout=600)
    server.run(host="127.0.0.1", port=options.port, generate_client_file=False, log_level="warning")
