"""Optional dependencies: what to say where one is not installed."""

from __future__ import annotations


def missing(exc: ModuleNotFoundError, *, package: str, extra: str) -> ModuleNotFoundError:
    """The error to raise in place of ``exc``, which is ``exc`` itself if the package is there and lacks something."""
    if (exc.name or "").split(".")[0] != package:
        return exc
    return ModuleNotFoundError(
        f"{package} is not installed; it comes with: pip install 'laps-client[{extra}]'", name=package
    )
