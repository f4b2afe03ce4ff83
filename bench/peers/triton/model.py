"""Triton's Python backend: a video's bytes in, the best label out; requests that Triton batched are run together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton
from bench.peers import views


class TritonPythonModel:
    """What the backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Once in each instance."""
        given = {key: value["string_value"] for key, value in json.loads(args["model_config"])["parameters"].items()}
        self.recipe = views.Recipe.read(Path(given["model"]))
        self.session = views.open_session(self.recipe, int(given["threads"]))
        self.batch = int(given["batch"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request."""
        clips = []
        for request in requests:
            video = triton.get_input_tensor_by_name(request, "video").as_numpy().flat[0]
            frames, numbers = views.needed_frames(video, self.recipe)
            clips.append(views.clips_of(frames, numbers, self.recipe))
        logits = views.run(self.session, np.concatenate(clips), self.batch)
        answers = [views.answer(part, self.recipe) for part in np.split(logits, len(requests))]
        return [
            triton.InferenceResponse(
                [triton.Tensor("answer", np.array([[json.dumps(answer).encode()]], dtype=np.object_))]
            )
            for answer in answers
        ]
