"""Its server is stopped after its last test, which pytest does for packages alone."""
