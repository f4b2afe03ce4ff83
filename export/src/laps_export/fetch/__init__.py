"""One known source archive from a package index: found as pip would find it, checked to the byte, read, never run."""
