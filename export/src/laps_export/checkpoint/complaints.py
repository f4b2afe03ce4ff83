"""Errors about many names at once: the first is named, the rest are counted, and each kind has its remedy."""

from __future__ import annotations

from collections.abc import Sequence

from laps_export.errors import CheckpointError

PLAIN_TENSORS = "weights are plain, dense tensors of floating-point numbers, as torch.save writes state_dict()"

_HINTS = {
    "missing_key": "give the --variant that the file was trained as; a part of a checkpoint is no model",
    "unexpected_key": "give the --variant that the file was trained as, and a file of this family",
    "wrong_shape": "give the --variant that the file was trained as",
    "wrong_type": PLAIN_TENSORS,
    "not_finite": "training diverged, or the file is damaged: take an earlier checkpoint",
}


def raise_for(code: str, what: str, offenders: Sequence[str], *, file: str) -> None:
    """Raise `CheckpointError` if there are any offenders."""
    if offenders:
        raise CheckpointError(f"{file} {what} {offenders[0]}{rest_of(offenders)}", code=code, hint=_HINTS[code])


def rest_of(items: Sequence[str]) -> str:
    """How many there are beside the first."""
    return f" (and {len(items) - 1} more)" if len(items) > 1 else ""
