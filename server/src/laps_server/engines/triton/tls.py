"""Which authorities may have signed Triton's certificate, in the form that each of its two clients wants.

By default the system's, for both: gRPC would otherwise trust a list that its package carries.
"""

from __future__ import annotations

import ssl
from pathlib import Path


def http_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trusts ``ca_file`` alone, or the system's authorities; for HTTP."""
    return ssl.create_default_context(cafile=ca_file)


def authorities(ca_file: Path | None) -> bytes | None:
    """Those of ``ca_file``, or the system's, in PEM form; for gRPC. None where the system has none."""
    return _system_authorities() if ca_file is None else ca_file.read_bytes()


def _system_authorities() -> bytes | None:
    """From where OpenSSL looks for them; gRPC knows no folder of certificates."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return Path(paths.cafile).read_bytes()
    # OpenSSL finds a certificate of a folder by its name: a hash of the authority, and a number.
    files = sorted(Path(paths.capath).glob("*.[0-9]")) if paths.capath else []
    return b"\n".join(file.read_bytes() for file in files) or None
