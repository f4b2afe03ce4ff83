"""The files that the page makes of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
from playwright.sync_api import Page

from support.browser import Classify, wait_for_answer


def download(page: Page, kind: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"Download {kind}").click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def test_the_json_is_the_servers_own_answer(opened: Any, video: Path, classify: Classify) -> None:
    page = opened("?compare=paler", file=video)
    name, content = download(page, "JSON")
    assert name == "three colours.scores.json"
    first, second = json.loads(content)
    expected = classify(video, top_k=4, thumbnails=True)
    for body in (first, expected):
        del body["request_id"], body["timings_ms"]
    assert first == expected
    assert second["model"]["name"] == "paler"


def test_the_chart_is_drawn_in_light_colours_as_svg_and_png(opened: Any, video: Path, classify: Classify) -> None:
    page = opened("?compare=paler&top_k=2", file=video, color_scheme="dark")
    name, content = download(page, "SVG")
    assert name == "three colours.scores.svg"
    root = ElementTree.fromstring(content)
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{space}text")]
    labels = [item["label"] for item in classify(video, top_k=2)["predictions"]]
    assert words[:5] == ["three colours", "colours", "paler", *labels]
    drawn = [path for path in root.iter(f"{space}path") if "C" in path.get("d", "")]
    assert len(drawn) == 4
    assert {path.get("stroke-dasharray") == "none" for path in drawn} == {True, False}
    assert {path.get("stroke") for path in drawn} == {"rgb(31, 95, 208)", "rgb(200, 80, 10)"}
    assert all(element.get("class") is None and element.get("style") is None for element in root.iter())

    name, content = download(page, "PNG")
    assert name == "three colours.scores.png"
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] == 1920
    assert picture[0, 0].tolist() == [255, 255, 255]
    blue, red = picture[..., 0].astype(int), picture[..., 2].astype(int)
    assert ((blue - red) > 120).sum() > 500  # the first label's colour is in it
    assert ((red - blue) > 120).sum() > 500


def test_a_drawing_of_two_label_sets_names_each_model_before_its_labels(
    opened: Any, video: Path, classify: Classify
) -> None:
    page = opened("?model=kinetics&compare=colours&top_k=2", file=video)
    root = ElementTree.fromstring(download(page, "SVG")[1])
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    expected = ["three colours"]
    for name in ("kinetics", "colours"):
        expected += [name, *(item["label"] for item in classify(video, model=name, top_k=2)["predictions"])]
    assert words[: len(expected)] == expected


def test_a_name_that_no_xml_may_hold_is_drawn_without_what_is_wrong_in_it(opened: Any, video: Path) -> None:
    page = opened("?views=1x1")
    name = "a\x01\x1b<\ufffeb\N{GRINNING FACE}&.mp4"
    page.set_input_files("#file", {"name": name, "mimeType": "video/mp4", "buffer": video.read_bytes()})
    wait_for_answer(page)
    root = ElementTree.fromstring(download(page, "SVG")[1])
    assert next(text.text for text in root.iter("{http://www.w3.org/2000/svg}text")) == "a<b\N{GRINNING FACE}&"
    assert download(page, "PNG")[1].startswith(b"\x89PNG")
