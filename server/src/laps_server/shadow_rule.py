"""Which share of requests is run through a second model too, as ``shadow=camera-motion/2:0.05``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RULE = re.compile(r"(?:(?P<model>[^=/:]+)=)?(?P<name>[^=/:]+)(?:/(?P<version>[1-9][0-9]{0,8}))?:(?P<share>[0-9.]+)")


@dataclass(frozen=True, slots=True)
class ShadowRule:
    """Of the requests for ``model``, ``share`` run through ``name`` too.

    Without a ``version`` it is the highest one; without a ``model`` the default one's requests are meant, or with a
    version those for another version of the same model.
    """

    name: str
    version: int | None
    share: float
    model: str | None

    @classmethod
    def parse(cls, text: str) -> ShadowRule:
        """Read ``[MODEL=]NAME[/VERSION]:SHARE``.

        Raises:
            ValueError: it is something else.
        """
        parts = _RULE.fullmatch(text)
        share = float(parts["share"]) if parts and re.fullmatch(r"[0-9]+(\.[0-9]+)?", parts["share"]) else 0.0
        if parts is None or not 0 < share <= 1:
            raise ValueError(f"{text!r} is not NAME:SHARE or NAME/VERSION:SHARE, with a share above 0 and up to 1")
        version = None if parts["version"] is None else int(parts["version"])
        model = parts["model"] or (None if version is None else parts["name"])
        return cls(parts["name"], version, share, model)
