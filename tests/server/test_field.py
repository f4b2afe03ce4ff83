"""Files of the kinds that people's real ones are, over real HTTP: what was sampled, not what a header says.

``support.field_recipes`` tells how each was made; ``support.right_answer`` what a right answer is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import field_recipes
from support.live_servers import running_server
from support.model_repositories import number_graph, write_model
from support.right_answer import (
    TIME_TOLERANCE_S,
    Clocks,
    Film,
    ask_as_segment,
    ask_whole,
    different_segment,
    post,
    said,
    wrong_clips,
    wrong_facts,
    wrong_segments,
    wrong_times,
    wrong_warnings,
)

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests" / "data" / "field"
CLOCKS = Clocks(frames=8, stride=4)
SIZE = 64
COUNTED = "timestamps are unusable"

Ask = Callable[[httpx.Client, Path], httpx.Response]
Answers = Callable[[Ask, str], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A file, the film that it must be answered as, and what it may be warned of (nothing has to be)."""

    file: str
    film: Film
    may_warn: str | None = None
    tolerance_s: float = TIME_TOLERANCE_S


def _slower_second_half() -> Film:
    """30 pictures a second, then 10, with the numbers of a clock of 30/s."""
    numbers = (*range(120), *range(120, 300, 3))
    return Film(numbers, tuple(number / 30 for number in numbers), even=False)


def _two_of_one_time() -> Film:
    """Picture 4 of each five has the time of picture 3."""
    steps = [{3: 0, 4: 1024}.get(place % 5, 512) for place in range(149)]
    return Film(tuple(range(150)), tuple(time / 12800 for time in accumulate(steps, initial=0)), even=False)


CASES = (
    Case("trim_end.mp4", Film.at_rate(50, first=200)),
    # Its header does declare another duration; told once, with both numbers.
    Case("mdhd_short.mp4", Film.at_rate(248, rate=30), may_warn=r"until 8\.3 s, beyond the 0\.3 s"),
    Case("fragments_after_moov.mp4", Film.at_rate(150)),
    Case("sei_and_aud_samples.mp4", Film.at_rate(150)),
    Case("every_other_entry_empty.avi", Film.at_rate(150)),
    Case("h264_every_other_entry_empty.avi", Film.at_rate(150)),
    Case("poster_first.mp4", Film.at_rate(100)),
    Case("proxy_first.mkv", Film.at_rate(100)),
    Case("first_stream_is_silent.ts", Film.at_rate(100)),
    Case("sound_starts_first.mkv", Film.at_rate(100)),
    Case("bytes_behind_trailer.gif", Film.at_rate(40)),
    Case("packed_b_frames.avi", Film.at_rate(150), may_warn=COUNTED),
    Case("clock_wraps.ts", Film.at_rate(250)),
)
UNEVEN = (
    Case("slower_second_half.mp4", _slower_second_half(), may_warn="time runs back"),
    Case("two_of_one_time.mp4", _two_of_one_time(), may_warn="time runs back"),
)


def by_file(case: Case) -> str:
    return case.file


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server of a model that reads numbers, and of the one that ships."""
    repository = tmp_path_factory.mktemp("field") / "models"
    write_model(
        repository,
        "numbers",
        frames=CLOCKS.frames,
        stride=CLOCKS.stride,
        size=SIZE,
        labels=[f"bit {bit}" for bit in range(12)],
        graph=number_graph(frames=CLOCKS.frames, size=SIZE),
        activation="sigmoid",
        default_views="5x1",
    )
    shutil.copytree(ROOT / "model_repository" / "camera-motion", repository / "camera-motion")
    with running_server(repository) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def answer(client: httpx.Client) -> Answers:
    """What the numbers model says of a file, asked once."""

    @cache
    def answered(ask: Ask, file: str) -> dict[str, Any]:
        response = ask(client, FILES / file)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return answered


def whole(client: httpx.Client, path: Path) -> httpx.Response:
    return ask_whole(client, path, model="numbers", top_k="12")


def as_segment(client: httpx.Client, path: Path) -> httpx.Response:
    return ask_as_segment(client, path, model="numbers", top_k="12")


def by_two_seconds(client: httpx.Client, path: Path) -> httpx.Response:
    return post(client, path, segments="2s", model="numbers", top_k="12")


@pytest.mark.parametrize("case", CASES, ids=by_file)
def test_clips_lie_in_the_film_and_go_forward(answer: Answers, case: Case) -> None:
    assert wrong_clips(answer(whole, case.file), case.film, CLOCKS) == []


@pytest.mark.parametrize("case", [*CASES, *UNEVEN], ids=by_file)
def test_pictures_have_their_own_times_and_numbers(answer: Answers, case: Case) -> None:
    assert wrong_times(answer(whole, case.file), case.film, case.tolerance_s) == []


@pytest.mark.parametrize("case", [*CASES, *UNEVEN], ids=by_file)
def test_the_video_is_described_as_it_was_found(answer: Answers, case: Case) -> None:
    assert wrong_facts(answer(whole, case.file), case.film) == []


@pytest.mark.parametrize("ask", [whole, as_segment, by_two_seconds])
@pytest.mark.parametrize("case", CASES, ids=by_file)
def test_nobody_is_warned_for_nothing(answer: Answers, case: Case, ask: Ask) -> None:
    body = answer(ask, case.file)
    # Windows of 2 s end in a short one where the film's length is no multiple of that.
    texts = [text for text in said(body) if ask is not by_two_seconds or "short" not in text]
    due = case.may_warn if texts else None
    assert wrong_warnings({**body, "warnings": texts, "segments": None}, due) == []


@pytest.mark.parametrize("case", [*CASES, *UNEVEN], ids=by_file)
def test_the_only_segment_is_answered_as_the_whole(answer: Answers, case: Case) -> None:
    assert different_segment(answer(whole, case.file), answer(as_segment, case.file)) == []


@pytest.mark.parametrize("ask", [as_segment, by_two_seconds])
@pytest.mark.parametrize("case", [*CASES, *UNEVEN], ids=by_file)
def test_segments_hold_the_pictures_of_their_time(answer: Answers, case: Case, ask: Ask) -> None:
    assert wrong_segments(answer(ask, case.file), case.film, case.tolerance_s) == []


@pytest.mark.parametrize("case", UNEVEN, ids=by_file)
def test_pictures_that_come_unevenly_are_in_order_or_the_client_is_told(answer: Answers, case: Case) -> None:
    body = answer(whole, case.file)
    if wrong_clips(body, case.film, CLOCKS):
        assert wrong_warnings(body, case.may_warn) == []


@pytest.mark.parametrize("segments", [{}, {"segments": "1h"}], ids=["whole", "segment"])
def test_a_zoom_that_was_trimmed_is_a_zoom(client: httpx.Client, segments: dict[str, str]) -> None:
    response = post(client, FILES / "trim_zoom.mp4", model="camera-motion", **segments)
    best = response.json()["predictions"][0]
    assert best["label"] == "zoom in"
    assert best["score"] > 0.8


@pytest.mark.parametrize("segments", [{}, {"segments": "1h"}], ids=["whole", "segment"])
def test_five_pictures_of_a_pan_are_no_pan_the_other_way(client: httpx.Client, segments: dict[str, str]) -> None:
    response = post(client, FILES / "pan_right_5_frames.mp4", model="camera-motion", **segments)
    assert response.json()["predictions"][0]["label"] != "pan left"


def test_a_clip_of_few_pictures_keeps_their_order(client: httpx.Client) -> None:
    body = ask_whole(client, FILES / "pan_right_5_frames.mp4", model="camera-motion").json()
    for view in body["view_details"]:
        times = [frame["time_s"] for frame in view["frames"]]
        assert all(before <= after for before, after in pairwise(times)), times


@pytest.mark.parametrize("file", [name for name in field_recipes.RECIPES if not name.endswith(".txt")])
def test_a_recipe_still_makes_its_file(file: str, tmp_path: Path) -> None:
    made = field_recipes.numbers_shown(field_recipes.make(file, tmp_path))
    kept = field_recipes.numbers_shown(FILES / file)
    if file in ("trim_zoom.mp4", "pan_right_5_frames.mp4"):  # textures
        assert [len(stream) for stream in made] == [len(stream) for stream in kept]
    else:
        assert made == kept
