"""From a file to sampled, resized frames."""
