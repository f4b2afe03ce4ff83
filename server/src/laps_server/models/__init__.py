"""Models as they lie on disk: what a manifest says, and whether the files are what was exported."""
