"""Weight files, ours and others', to weights that fit a model; nothing in a file is run or believed unseen."""
