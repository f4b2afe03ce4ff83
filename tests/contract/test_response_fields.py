"""The client's dataclasses have the fields of the server's OpenAPI document: each name, type and null, and no other."""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from laps_client._events import EVENT_CLASSES
from laps_client._options import ClassifyOptions
from laps_client._responses import ErrorBody, ErrorEvent
from laps_client._results import Classification, ModelInfo, Models
from laps_server.api.app import create_app
from laps_server.runtime import Runtime
from laps_server.served_models import ServedModels
from laps_server.settings import Settings
from laps_server.video.decode_pool import DecodePool

Node = dict[str, Any]

# Never null from this server; missing, and so None, from an older one.
ADDED_LATER = {
    *("VideoBody.stream_index", "ViewsBody.sampling", "LimitsBody.max_segments", "ModelResponse.average"),
    *("FramesBody.from_s", "FramesBody.to_s", "ModelsResponse.failed"),
    *(f"{name}.{key}" for name in ("ModelRef", "ModelSummary", "ModelResponse") for key in ("engine", "precision")),
    *("InputBody.long_side", "InputBody.crop_order", "InputBody.crop_offset"),
    *(
        f"{name}.{key}"
        for name in ("ClassifyResponse", "SegmentBody", "SegmentEvent")
        for key in ("agreement", "margin")
    ),
}
# Read as a number, as the header of the same meaning may be one.
WIDER = {"ErrorEvent.retry_after_s"}
# What the document marks as deprecated, and the client knows under its new name.
DEPRECATED = {"ClassifyResponse.explain"}

SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", bytes: "string"}


@cache
def shared_document() -> Node:
    runtime = Runtime(ServedModels((), default_model=None), DecodePool(1))
    return create_app(runtime, Settings.model_construct()).openapi()


@pytest.fixture
def document() -> Node:
    return copy.deepcopy(shared_document())


def differences(document: Node) -> list[str]:
    """Where a response, an event or an error of the document is not what the client reads."""
    paths = document["paths"]
    answers = {
        "Classification": (body_of(paths["/classify"]["post"]["responses"]["200"]), Classification),
        "Models": (body_of(paths["/models"]["get"]["responses"]["200"]), Models),
        "ModelInfo": (body_of(paths["/models/{name}"]["get"]["responses"]["200"]), ModelInfo),
    }
    stream = paths["/classify"]["post"]["responses"]["200"]["content"]["text/event-stream"]["x-events"]
    known = EVENT_CLASSES | {"error": ErrorEvent}
    found = [f"event {name}" for name in stream.keys() ^ known.keys()]
    answers |= {f"event {name}": (stream[name]["data"], known[name]) for name in stream.keys() & known.keys()}
    for schema, kind in answers.values():
        found += unlike(document, schema, kind, schema["$ref"].rpartition("/")[2])
    envelope = document["components"]["schemas"]["ErrorEnvelope"]["properties"]
    found += [] if list(envelope) == ["error"] else ["ErrorEnvelope"]
    found += unlike(document, envelope["error"], ErrorBody, "ErrorBody")
    return sorted(set(found))


def body_of(response: Node) -> Node:
    schema: Node = response["content"]["application/json"]["schema"]
    return schema


def unlike(document: Node, schema: Node, hint: Any, where: str) -> list[str]:
    """The places at and below ``where`` at which a type of the client is not the document's."""
    arms = schema.get("anyOf", [schema])
    inner = [arm for arm in arms if arm.get("type") != "null"]
    kinds = [arm for arm in get_args(hint) if arm is not types.NoneType] if is_union(hint) else [hint]
    nullable = where in ADDED_LATER or len(inner) < len(arms)
    if is_union(hint) != nullable or len(inner) != 1 or len(kinds) != 1:
        return [where]
    return unlike_value(document, inner[0], kinds[0], where)


def is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def unlike_value(document: Node, schema: Node, kind: Any, where: str) -> list[str]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return unlike_object(document, document["components"]["schemas"][name], kind, name)
    if get_origin(kind) is tuple:
        is_list = schema.get("type") == "array" and get_args(kind)[1:] == (Ellipsis,)
        return unlike(document, schema["items"], get_args(kind)[0], f"{where}[]") if is_list else [where]
    if get_origin(kind) is Mapping:
        return [] if schema.get("type") == "object" and schema.get("additionalProperties") is True else [where]
    fits = schema.get("type") == SCALARS.get(kind) or (
        where in WIDER and (schema.get("type"), kind) == ("integer", float)
    )
    return [] if fits else [where]


def unlike_object(document: Node, schema: Node, kind: Any, name: str) -> list[str]:
    if not is_dataclass(kind):
        return [name]
    hints = get_type_hints(kind)
    ours = {field.name for field in fields(kind)}
    theirs = {
        key: value
        for key, value in schema["properties"].items()
        if not (value.get("deprecated") and f"{name}.{key}" in DEPRECATED)
    }
    found = [f"{name}.{key}" for key in ours ^ theirs.keys()]
    for key in ours & theirs.keys():
        found += unlike(document, theirs[key], hints[key], f"{name}.{key}")
    return found


def test_the_client_reads_what_the_document_says(document: Node) -> None:
    assert differences(document) == []


@pytest.mark.parametrize("name", ["ADDED_LATER", "WIDER", "DEPRECATED"])
def test_every_exception_made_above_is_needed(document: Node, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places = globals()[name]
    monkeypatch.setitem(globals(), name, set())
    assert set(differences(document)) == places


def break_at(document: Node, place: str, how: str) -> None:
    name, _, key = place.partition(".")
    properties = document["components"]["schemas"][name]["properties"]
    if how == "missing":
        del properties[key]
    elif how == "added":
        properties[key] = {"type": "string"}
    elif how == "null":
        properties[key] = {"anyOf": [properties[key], {"type": "null"}]}
    elif how == "not null":
        (properties[key],) = (arm for arm in properties[key]["anyOf"] if arm.get("type") != "null")
    else:
        properties[key] = {"type": how}


@pytest.mark.parametrize(
    ("place", "how"),
    [
        ("ClassifyResponse.views", "missing"),
        ("ClassifyResponse.new", "added"),
        ("ClassifyResponse.frames", "not null"),
        ("VideoBody.codec", "null"),
        ("VideoBody.fps", "string"),
        ("BoxBody.x", "number"),
        ("SegmentEvent.segments_done", "missing"),
        ("GridBody.spatial", "string"),
        ("ModelResponse.metrics", "array"),
        ("LimitsBody.new", "added"),
        ("ErrorBody.hint", "not null"),
        ("ErrorEvent.status", "missing"),
    ],
)
def test_a_field_that_changes_on_one_side_alone_is_seen(document: Node, place: str, how: str) -> None:
    break_at(document, place, how)
    assert place in differences(document)


def test_an_event_that_only_one_side_knows_is_seen(document: Node) -> None:
    response = document["paths"]["/classify"]["post"]["responses"]["200"]
    events = response["content"]["text/event-stream"]["x-events"]
    events["new"] = events.pop("partial")
    assert {"event new", "event partial"} <= set(differences(document))


def test_the_clients_options_are_the_parameters_of_the_document(document: Node) -> None:
    parameters = document["paths"]["/classify"]["post"]["parameters"]
    names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    ours = {field.name for field in fields(ClassifyOptions)}
    assert ours - {"deadline_s"} == names - {"deadline_ms"}
    assert "deadline_ms" in names
