"""Old public names: each works for one release more, with a warning that points at its user."""

from __future__ import annotations

import warnings

LAST_RELEASE = "0.2"


def warn_renamed(old: str, new: str, *, stacklevel: int) -> None:
    """Warn that a name has changed; ``stacklevel`` counts from the caller, as in :func:`warnings.warn`."""
    message = f"{old} is now {new}; the old name is gone after {LAST_RELEASE}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
