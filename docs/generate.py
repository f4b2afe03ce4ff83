"""Writes the reference pages that are derived from code: ``make docs``. A test fails where they are out of date."""

from __future__ import annotations

import inspect
from pathlib import Path

from laps_server import errors
from laps_server.api.errors import RETRY_AFTER_S, STATUS
from laps_server.settings import Settings

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by `make docs`; edit the code it is derived from. -->"


def settings_page() -> str:
    """Every setting with its environment variable, default and meaning."""
    lines = [
        "# Settings",
        "",
        NOTE,
        "",
        "Read from the environment at start; the options of `laps-server serve` of the same name win.",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        default = "the cores it may use" if field.default_factory else field.default
        lines.append(f"| `LAPS_{name.upper()}` | {'' if default is None else default} | {field.description} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every code of the error tree with its status."""
    tree = inspect.getdoc(errors) or ""
    drawing = tree.split("::")[1].split("No web import")[0].strip("\n")
    lines = [
        "# Errors",
        "",
        NOTE,
        "",
        "Every answer that is not a success is one JSON envelope:",
        "",
        "```json",
        '{"error": {"code": "bad_parameter", "message": "what was wrong", "hint": "what would be right",',
        '           "request_id": "4f0c…"}}',
        "```",
        "",
        "`code` is stable. A `Retry-After` header comes where waiting helps. `request_id` is the `X-Request-ID` of the",
        "request, if that is 1 to 128 letters, digits or any of `. _ : -`, and a new one otherwise; every answer has",
        "it as a header too.",
        "",
        "| code | status | Retry-After | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for error in sorted(tree_classes(), key=lambda error: (STATUS[error.code], error.code)):
        meaning = (inspect.getdoc(error) or "").splitlines()[0]
        wait = f"{RETRY_AFTER_S[error.code]} s" if error.code in RETRY_AFTER_S else ""
        lines.append(f"| `{error.code}` | {STATUS[error.code]} | {wait} | {meaning} |")
    lines += ["", "The tree in code:", "", "```", drawing, "```"]
    return "\n".join(lines) + "\n"


def tree_classes() -> list[type[errors.LapsError]]:
    """Every class of the tree that names a cause, that is, all but those with others below them."""
    found: list[type[errors.LapsError]] = []
    waiting = [errors.LapsError]
    while waiting:
        error = waiting.pop()
        below = error.__subclasses__()
        waiting += below
        if not below:
            found.append(error)
    return found


PAGES = {"settings.md": settings_page, "errors.md": errors_page}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
