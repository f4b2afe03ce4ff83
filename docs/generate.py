"""Writes what is derived from code: ``make docs``. A test fails where any of it is out of date.

These are the reference pages of this folder, and the types of the server's answers that the page's scripts are checked
against.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from laps_server import errors
from laps_server.api.app import create_app
from laps_server.api.errors import RETRY_AFTER_S, STATUS
from laps_server.api.malformed import HEAD_TIMEOUT_S
from laps_server.runtime import Runtime
from laps_server.scale import settings as ray_settings
from laps_server.scale.settings import RaySettings
from laps_server.served_models import ServedModels
from laps_server.settings import RENAMED, Settings, variable
from laps_server.video.decode_pool import DecodePool

Node = dict[str, Any]  # a part of the OpenAPI document

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by `make docs`; edit the code it is derived from. -->"
# What defaults are that depend on the machine and its user.
COMPUTED = {
    "threads": "the cores it may use",
    "decode_workers": "2, or 1 where there is one core",
    "cache_dir": "`~/.cache/laps-server`, or below `XDG_CACHE_HOME`",
    "traces": "where `OTEL_EXPORTER_OTLP_ENDPOINT`, or that of traces, is set",
}


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
        default = COMPUTED.get(name, field.default)
        if isinstance(default, tuple):
            default = " ".join(map(str, default))
        lines.append(f"| `{variable(name)}` | {'' if default is None else default} | {field.description} |")
    lines += [
        "",
        "## On Ray",
        "",
        "Read beside those above by `laps-server ray-serve`, and by whatever else runs on Ray ([scale.md](scale.md)).",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in RaySettings.model_fields.items():
        default = "" if field.default is None else field.default
        lines.append(f"| `{ray_settings.variable(name)}` | {default} | {field.description} |")
    lines += [
        "",
        "## Old names",
        "",
        "Old names are still read in this release, with a warning in the log. Where both are set, the new one wins.",
        "",
        "| old name | name |",
        "| --- | --- |",
        *(f"| `{variable(old)}` | `{variable(name)}` |" for old, name in RENAMED.items()),
    ]
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
        "Bytes that are no HTTP get the envelope too (400), and so do headers that take longer than "
        f"{HEAD_TIMEOUT_S:g} seconds (408). No",
        "envelope comes, and the connection is closed:",
        "",
        "- where an answer has begun already: a stream of events then ends without `result` or `error`;",
        "- where nothing was sent on it: for so long at its beginning, and for 5 seconds between two requests;",
        "- where a stop was told a second time, or took longer than `LAPS_DRAIN_TIMEOUT_S`.",
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
    """Every class of the tree but its root, whose code is InternalError's."""
    found: list[type[errors.LapsError]] = []
    waiting = errors.LapsError.__subclasses__()
    while waiting:
        error = waiting.pop()
        found.append(error)
        waiting += error.__subclasses__()
    return found


# One request for each path, as a newcomer in the project's folder sends it; a test runs them all.
EXAMPLES = {
    "POST /classify": "curl --silent -F file=@examples/pan-then-zoom.mp4 'http://127.0.0.1:8000/classify?top_k=3'",
    "GET /models": "curl --silent http://127.0.0.1:8000/models",
    "GET /models/{name}": "curl --silent http://127.0.0.1:8000/models/camera-motion",
    "GET /livez": "curl --silent http://127.0.0.1:8000/livez",
    "GET /readyz": "curl --silent http://127.0.0.1:8000/readyz",
}
# What the document leaves out.
BESIDES = [
    ["`GET /`", "The page: choose a video and see its scores along it."],
    ["`GET /docs`", "This reference, to try it on."],
    ["`GET /openapi.json`", "The document that it is made of."],
    ["`POST /admin/reload`", "Look at the model repository now, with a key for it ([life cycle](lifecycle.md))."],
]


def api_page() -> str:
    """Every path with its parameters, body and answers, and every schema, from the server's OpenAPI document."""
    document = openapi_document()
    lines = [
        "# HTTP API",
        "",
        NOTE,
        "",
        "A running server tells the same at `/openapi.json`, and at `/docs` as a page to try it on. Every answer has",
        "the header `X-Request-ID`. Any request may get 404, 405 or 500 too; [errors](errors.md) lists every code.",
        "",
    ]
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    lines += _table(
        ["request", "about"],
        [[f"[`{name}`](#{_anchor(name)})", operation["description"]] for name, operation in operations] + BESIDES,
    )
    for name, operation in operations:
        lines += [f"## {name}", "", operation["description"], ""]
        lines += ["```sh", EXAMPLES[name], "```", ""]
        lines += _parameters(operation) + _request_body(operation) + _answers(operation)
    lines += ["## Schemas", ""]
    schemas = document["components"]["schemas"]
    for name in _used_schemas(document):
        lines += [f"### {name}", "", _one_line(schemas[name]["description"]), ""]
        lines += _table(
            ["field", "type", "meaning"],
            [
                [f"`{field}`", _type(schema), _meaning(schema, schemas)]
                for field, schema in schemas[name]["properties"].items()
            ],
        )
    return "\n".join(lines).rstrip("\n") + "\n"


def openapi_document() -> Node:
    """What a server tells of itself, whatever models it serves."""
    runtime = Runtime(ServedModels((), default_model=None), DecodePool(1))
    return create_app(runtime, Settings.model_construct()).openapi()


def _parameters(operation: Node) -> list[str]:
    rows = [
        [
            f"`{parameter['name']}`",
            parameter["in"],
            _type(parameter["schema"], nullable=False),
            "required" if parameter["required"] else _default(parameter["schema"]),
            parameter.get("description", ""),
        ]
        for parameter in operation.get("parameters", ())
    ]
    return _table(["parameter", "in", "type", "default", "meaning"], rows)


def _request_body(operation: Node) -> list[str]:
    body = operation.get("requestBody")
    if body is None:
        return []
    rows = [[f"`{media_type}`", _content(content["schema"])] for media_type, content in body["content"].items()]
    return [body["description"], "", *_table(["Content-Type", "body"], rows)]


def _content(schema: Node) -> str:
    fields = [f"field `{name}`: {_type(field)}" for name, field in schema.get("properties", {}).items()]
    return ", ".join(fields) or _type(schema)


def _answers(operation: Node) -> list[str]:
    rows, events = [], []
    for status, answer in operation["responses"].items():
        meaning = answer["description"].replace("Successful Response", "")
        for media_type, content in answer["content"].items():
            body = "events, see below" if "x-events" in content else _type(content["schema"])
            rows.append([status, f"`{media_type}`", body, meaning])
            meaning = ""  # said once for a status
            events += _events(media_type, content)
    return _table(["status", "Content-Type", "body", "meaning"], rows) + events


def _events(media_type: str, content: Node) -> list[str]:
    if "x-events" not in content:
        return []
    rows = [[f"`{name}`", _type(event["data"]), event["description"]] for name, event in content["x-events"].items()]
    about = content["schema"]["description"].split("\n\n")[0]
    note = f"With `{media_type}`: {about} The wire format is in [streaming](streaming.md)."
    return [note, "", *_table(["event", "data", "when"], rows)]


def _type(schema: Node, *, nullable: bool = True) -> str:
    """A schema in words: ``array of integer or null``."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    if "anyOf" in schema:
        choices = [_type(choice) for choice in schema["anyOf"]]
        return " or ".join(choice for choice in choices if nullable or choice != "null")
    if schema["type"] == "array":
        items = _type(schema["items"])
        return f"array of ({items})" if "anyOf" in schema["items"] else f"array of {items}"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = {
        (True, True): f", {low} to {high}",
        (True, False): f", at least {low}",
        (False, True): f", at most {high}",
    }
    name = schema.get("format", schema["type"])
    return f"{name}{bounds.get((low is not None, high is not None), '')}"


def _meaning(schema: Node, schemas: Node) -> str:
    """A field's description, which is left out where it is that of its type."""
    found = schema if "$ref" not in schema or "description" in schema else schemas[schema["$ref"].rpartition("/")[2]]
    return str(found.get("description", ""))


def _default(schema: Node) -> str:
    value = schema.get("default")
    return "" if value is None else f"`{str(value).lower()}`"


def _used_schemas(document: Node) -> list[str]:
    """Names of the schemas that the paths lead to, each before those that only it leads to."""
    found: list[str] = []
    waiting = list(_references(document["paths"]))
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting += _references(document["components"]["schemas"][name])
    return found


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table and an empty line; nothing where there are no rows."""
    if not rows:
        return []
    cells = [head, ["---"] * len(head), *([_one_line(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells] + [""]


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def _anchor(heading: str) -> str:
    """What a link to a heading is made of: letters, digits and hyphens."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


# What the page asks a server for.
PAGE_OPERATIONS = [("/models", "get"), ("/classify", "post")]
SCALARS = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}


def page_types() -> str:
    """Query, events and answers of the page's requests, as JSDoc types under their OpenAPI names."""
    document = openapi_document()
    operations = [document["paths"][path][method] for path, method in PAGE_OPERATIONS]
    schemas = document["components"]["schemas"]
    lines = [
        "/**",
        " * The server's API, from its OpenAPI document. Written by `make docs`; edit the code it is derived from.",
        " *",
        " * What docs/api.md says of each field is not said again here.",
        " */",
        "",
    ]
    parameters = {each["name"]: each["schema"] for each in operations[-1]["parameters"] if each["in"] == "query"}
    lines += _typedef("ClassifyQuery", {"properties": parameters})
    events = operations[-1]["responses"]["200"]["content"]["text/event-stream"]["x-events"]
    data = {name: event["data"] for name, event in events.items()}
    lines += _typedef("ClassifyEvents", {"properties": data, "required": list(data)})
    for name in sorted(_used_schemas({"paths": operations, "components": document["components"]})):
        lines += _typedef(name, schemas[name])
    return "\n".join([*lines, "export {};"]) + "\n"


def _typedef(name: str, schema: Node) -> list[str]:
    required = schema.get("required", ())
    fields = [
        f" * @property {{{_js_type(field)}}} {key if key in required else f'[{key}]'}"
        for key, field in schema["properties"].items()
    ]
    return ["/**", f" * @typedef {{object}} {name}", *fields, " */", ""]


def _js_type(schema: Node) -> str:
    """A schema as TypeScript writes it: ``(number|null)[]``."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return "|".join(_js_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return "|".join(f"'{choice}'" for choice in schema["enum"])
    if schema["type"] == "array":
        items = _js_type(schema["items"])
        return f"({items})[]" if "|" in items else f"{items}[]"
    if schema["type"] == "object":
        return "Record<string, unknown>"
    return SCALARS[schema["type"]]


WRITTEN = {
    "docs/settings.md": settings_page,
    "docs/errors.md": errors_page,
    "docs/api.md": api_page,
    "server/src/laps_server/web/js/api_types.js": page_types,
}


def main() -> None:
    """Write every file."""
    for path, text in WRITTEN.items():
        (ROOT / path).write_text(text())


if __name__ == "__main__":
    main()
