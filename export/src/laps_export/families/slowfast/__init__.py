"""SlowFast: a wide pathway over few frames and a narrow one over all, which tells the other what it saw."""
