"""A model_repository on disk: what an entry holds, how a version is written into it, and whether it is still intact."""
