"""Certificates made when a test runs, by the openssl command: no key lies in the repository."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str = "own") -> Path:
    """A certificate for 127.0.0.1 that is its own authority, and its key, in one PEM file."""
    path = folder / f"{name}.pem"
    names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    usage = ("-addext", "keyUsage=critical,digitalSignature,keyCertSign")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "1", *key, *names, *usage, "-out", folder / "certificate"],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (folder / "certificate").read_bytes())
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    """For a server that speaks whichever of HTTP/2, as gRPC does, and HTTP/1.1 its client wants."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
