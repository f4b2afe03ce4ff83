"""The pictures of the page in docs/images: run by ``make screenshots``.

They show the trained Kinetics network where ``make kinetics`` has put it, and a clip that ships. Any other video may be
given; one that the repository has no right to show is blurred, and its labels and curves are not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page

from support.browser import running_browser, wait_for_answer
from support.live_servers import running_server

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
MAX_BYTES = 180_000
COLOURS = 24  # of all photographs in a picture
BLUR = "(all) => all.forEach((each) => { each.style.filter = `blur(${each.closest('.frame') ? 3 : 9}px)`; })"
NARROW = 760  # pixels; below it the video is not at the top of the page
POSITION = 0.62  # of the chart's width, where the clip that ships changes from one motion to the other
KINETICS = "i3d-kinetics400"


def main() -> None:
    """Serve, open the page three times, write three pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--video", type=Path, default=ROOT / "examples" / "pan-then-zoom.mp4")
    parser.add_argument("--blur", action="store_true", help="blur the video's pictures")
    parser.add_argument("--model", help=f"{KINETICS} where it is there, else camera-motion")
    parser.add_argument("--compare", help="camera-motion, or camera-motion-base2d if that is the model")
    given = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    has_kinetics = (given.model_repository / KINETICS).is_dir()
    model = given.model or (KINETICS if has_kinetics else "camera-motion")
    compare = given.compare or ("camera-motion-base2d" if model == "camera-motion" else "camera-motion")
    environment = {"LAPS_DEFAULT_MODEL": model}
    with running_server(given.model_repository, env=environment) as server, running_browser() as browser:

        def take(name: str, query: str, width: int, height: int, **context: Any) -> None:
            context["viewport"] = {"width": width, "height": height}
            page = _open(browser, f"{server.url}/{query}", given.video, **context)
            if width < NARROW:
                page.evaluate("document.querySelector('#result').scrollIntoView()")
            if given.blur:
                page.locator("#screen video, .sampled-frame, .frame img").evaluate_all(BLUR)
            page.screenshot(path=IMAGES / name)
            boxes = [page.locator(each).bounding_box() for each in ("#screen", "#filmstrip")]
            page.context.close()
            _shrink(IMAGES / name, [box for box in boxes if box is not None and box["y"] < height])

        take("page.png", "", 1000, 1260)
        take("page-compare.png", f"?compare={compare}&top_k=3", 1000, 1310)
        take("page-phone.png", "", 390, 860, color_scheme="dark")


def _open(browser: Browser, url: str, video: Path, **context: Any) -> Page:
    page = browser.new_context(**context).new_page()
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", video)
    wait_for_answer(page)
    box = page.locator("#chart").bounding_box()
    if box is None:
        raise RuntimeError("the page shows no chart")
    page.locator("#chart").click(position={"x": box["width"] * POSITION, "y": box["height"] / 2})
    page.wait_for_function("() => { const v = document.querySelector('#screen video'); return v && !v.seeking; }")
    page.evaluate("() => { document.activeElement.blur(); document.querySelector('#screen video').controls = false; }")
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)  # bars and curves move to where they belong
    return page


def _shrink(file: Path, photographs: list[FloatRect]) -> None:
    """Photographs of fewer shades make a PNG small; text and curves keep theirs."""
    with Image.open(file) as shot:
        picture = shot.convert("RGB")
    for box in photographs:
        left, top = max(0, int(box["x"])), max(0, int(box["y"]))
        right, bottom = int(box["x"] + box["width"]), int(box["y"] + box["height"])
        part = picture.crop((left, top, min(right, picture.width), min(bottom, picture.height)))
        picture.paste(part.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB"), (left, top))
    picture.save(file, optimize=True)
    if file.stat().st_size > MAX_BYTES:
        raise RuntimeError(f"{file.name} has {file.stat().st_size} bytes, more than {MAX_BYTES}")


if __name__ == "__main__":
    main()
