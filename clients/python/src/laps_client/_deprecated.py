"""Old public names: each works for one more release, with a warning that points at its user."""

from __future__ import annotations

import warnings

REMOVED_IN = "0.3"


def warn_renamed(old: str, new: str, *, stacklevel: int) -> None:
    """Warn that a name has changed; ``stacklevel`` counts from the caller, as in :func:`warnings.warn`."""
    message = f"{old} is now {new}; the old name goes with {REMOVED_IN}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
