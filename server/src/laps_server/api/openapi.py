"""What the OpenAPI document says besides what FastAPI derives from the routes: the events of a stream.

OpenAPI 3.1 has no word for the events of a stream. So the media type has an extension, ``x-events``, which names the
schema of each event's data, and the description says the same for people.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from laps_server.api.negotiate import EVENT_STREAM
from laps_server.api.stream import EVENTS

_SCHEMA = "#/components/schemas/{model}"

STREAM_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": f"The answer as JSON, or with `Accept: {EVENT_STREAM}` events while it is worked out.",
        "content": {
            EVENT_STREAM: {
                "schema": {
                    "type": "string",
                    "description": "Server-Sent Events, each with one line of JSON as its data; a comment line while "
                    "there is no event. A stream that ends without `result` or `error` was cut.\n\n"
                    + "\n".join(
                        f"- `{name}` ({when}): {', '.join(f'`{field}`' for field in body.model_fields)}"
                        for name, (body, when) in EVENTS.items()
                    ),
                },
                "x-events": {
                    name: {"description": when, "data": {"$ref": _SCHEMA.format(model=body.__name__)}}
                    for name, (body, when) in EVENTS.items()
                },
            }
        },
    }
}


class DocumentedApp(FastAPI):
    """An app whose OpenAPI document has the schemas of events too, which no route returns."""

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, events = models_json_schema(
                [(body, "serialization") for body, _ in EVENTS.values()], ref_template=_SCHEMA
            )
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}, {}]  # a server may ask for a key, or not
            of_routes = document["components"]["schemas"]
            document["components"]["schemas"] = dict(sorted((events["$defs"] | of_routes).items()))
            self.openapi_schema = document
        return self.openapi_schema
