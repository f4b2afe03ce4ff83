"""What Triton's Python backend runs in place of ONNX Runtime's: the same model.onnx, batched as Triton batches it.

Copied beside model.onnx as model.py. A file ``delay_s`` beside it makes every batch take longer, by its first number,
and by its second, if there is one, for every view; a batch does not end while there is a file ``hold``. ``batches``
gets a line for each batch: the views of its requests.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.folder = Path(args["model_repository"]) / args["model_version"]
        options = ort.SessionOptions()
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = ort.InferenceSession(
            str(self.folder / "model.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        (source,), targets = self.session.get_inputs(), self.session.get_outputs()
        clips = [triton.get_input_tensor_by_name(request, source.name).as_numpy() for request in requests]
        with (self.folder / "batches").open("a") as file:
            file.write(" ".join(str(len(part)) for part in clips) + "\n")
        while (self.folder / "hold").exists():
            time.sleep(0.01)
        delay = self.folder / "delay_s"
        if delay.exists():
            a_batch, a_view = [*map(float, delay.read_text().split()), 0.0][:2]
            time.sleep(a_batch + a_view * sum(map(len, clips)))
        names = [target.name for target in targets]
        arrays = self.session.run(names, {source.name: np.concatenate(clips)})
        ends = np.cumsum([len(part) for part in clips])[:-1]
        answers = zip(*(np.split(array, ends) for array in arrays), strict=True)
        return [
            triton.InferenceResponse([triton.Tensor(name, part) for name, part in zip(names, parts, strict=True)])
            for parts in answers
        ]
