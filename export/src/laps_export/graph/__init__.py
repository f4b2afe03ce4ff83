"""A torch model to one ONNX file, what it costs, and the proof that both compute the same."""
