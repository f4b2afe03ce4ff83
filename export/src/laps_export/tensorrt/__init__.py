"""An exported graph to a TensorRT plan, for the GPU that will run it."""
