"""A case: a seed, what is done to it, and what is asked of the decoder; drawn by number, and kept as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Final

from fuzz.mutations import Edit, applied, damage
from fuzz.seeds import codecs_for
from pydantic import TypeAdapter

from laps_server.video.accepted_formats import CodecSet
from laps_server.video.extract_options import WHOLE_VIDEO_S, ExtractOptions
from laps_server.view_grid import SamplingRule, ViewGrid

# Each rule with the frames and stride of a model that samples by it.
_RULES: Final[tuple[tuple[SamplingRule, int, int], ...]] = (
    ("laps_uniform", 4, 2),
    ("laps_uniform", 8, 8),
    ("laps_uniform", 1, 1),
    ("uniform_in_order", 4, 2),
    ("slowfast_uniform", 8, 2),
    ("slowfast_offset", 4, 2),
    ("strided_centre", 8, 1),
    ("segments_of_5", 10, 1),
    ("whole_clip", 4, 2),
    ("tokshift", 4, 2),
    ("steady_25", 4, 2),
)
_GRIDS = ("1x1", "3x1", "2x3", "10x1")
_WINDOWS_S = (WHOLE_VIDEO_S, WHOLE_VIDEO_S, Fraction(1, 10), Fraction(1))
_WIDER = 0.3  # of the cases of standard codecs are decoded where more is let in
_SIDE = 32


@dataclass(frozen=True, slots=True)
class Case:
    """One file for the decoder.

    Attributes:
        seed: name of the file that it was.
        sha256: of that file, since encoders of another version write another one.
        edits: what was done to it.
        options: what is asked.
        codecs: what is let in.
    """

    seed: str
    sha256: str
    edits: list[Edit]
    options: ExtractOptions
    codecs: CodecSet

    @property
    def kinds(self) -> str:
        """What was done, in a few words."""
        return "+".join(edit.kind for edit in self.edits) or "nothing"

    def file(self, seed: bytes) -> bytes:
        """The damaged file.

        Raises:
            ValueError: it is another seed.
        """
        if hashlib.sha256(seed).hexdigest() != self.sha256:
            raise ValueError(f"{self.seed} is not the file that the case was drawn from")
        return applied(seed, self.edits)

    def as_json(self) -> bytes:
        """For a file."""
        return _CASE.dump_json(self, indent=1)

    @staticmethod
    def read(path: Path) -> Case:
        """Of such a file."""
        return _CASE.validate_json(path.read_bytes())


_CASE: Final = TypeAdapter(Case)


def draw_case(run: int, number: int, seeds: Mapping[str, bytes]) -> Case:
    """The case of that number in a run: the same for the same seeds."""
    draw = Random(f"{run}/{number}")
    name = draw.choice(tuple(seeds))
    donor = seeds[draw.choice(tuple(seeds))]
    edits = damage(seeds[name], [seeds[name], donor], draw)
    rule, frames, stride = draw.choice(_RULES)
    options = ExtractOptions(
        grid=ViewGrid.parse(draw.choice(_GRIDS)),
        frames=frames,
        stride=stride,
        short_side=_SIDE,
        crop_height=_SIDE,
        crop_width=_SIDE,
        thumbnails=draw.choice(("none", "middle", "all")),
        window_s=draw.choice(_WINDOWS_S),
        sampling=rule,
        early=draw.random() < 0.5,
    )
    codecs = "wide" if draw.random() < _WIDER else codecs_for(name)
    return Case(name, hashlib.sha256(seeds[name]).hexdigest(), edits, options, codecs)
