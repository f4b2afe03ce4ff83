"""A peer before it is timed: whether it answers as we do, and which setting is its best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from bench.loads import Answer, Load, ask, send
from bench.measured import PeerCost
from bench.servers import Server, ServerFailed, Setting, serving_peer

MAX_SCORE_DIFFERENCE = 0.02
SWEPT_REQUESTS = 2  # for each worker


@dataclass(frozen=True)
class Tried:
    """``cost`` is still without rounds; no ``setting`` where the peer is refused."""

    cost: PeerCost
    setting: Setting | None


def warm(server: Server, workers: int, video: bytes, *, model: str = "") -> Answer:
    """Let every worker answer, so that none of them begins cold; the answer."""
    answer = ask(server, video, model=model)
    if workers > 1:
        send(server, Load(2 * workers, at_once=2 * workers), video, model=model)
    return answer


def differs(answer: Answer, right: Answer) -> str | None:
    """What is wrong with a peer's answer, or None."""
    if answer.label == right.label and abs(answer.score - right.score) <= MAX_SCORE_DIFFERENCE:
        return None
    return f"it answers {answer.label} {answer.score:.3f} and not {right.label} {right.score:.3f}"


def tried(
    name: str,
    model: Path,
    video: bytes,
    *,
    right: Answer,
    settings: tuple[Setting, ...],
    step: Callable[[str], None],
) -> Tried:
    """Try every setting with a few requests; the one of the least processor seconds is the peer's best.

    ``right`` is what our server answers on the engine and at the precision that the peer has.
    """
    swept: dict[Setting, float] = {}
    for setting in settings:
        step(f"{model.parent.name}: {name}, {setting}")
        try:
            with serving_peer(name, model, setting) as server:
                if (wrong := differs(warm(server, setting.workers, video), right)) is not None:
                    return Tried(PeerCost(name, str(setting), {}, [], refused=wrong), None)
                # One setting needs no comparison.
                requests = SWEPT_REQUESTS * setting.workers if len(settings) > 1 else 0
                load = Load(requests, at_once=SWEPT_REQUESTS * setting.workers)
                swept[setting] = send(server, load, video).cpu_s if requests else 0.0
        except (ServerFailed, httpx.HTTPError) as exc:
            return Tried(PeerCost(name, str(setting), {}, [], refused=str(exc)), None)
    best = min(swept, key=lambda setting: swept[setting])
    return Tried(PeerCost(name, str(best), {str(setting): cost for setting, cost in swept.items()}, []), best)
