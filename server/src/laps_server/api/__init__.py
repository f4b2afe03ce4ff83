"""The HTTP front: everything that knows FastAPI."""
