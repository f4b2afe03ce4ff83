"""Every answer is one that the OpenAPI document tells of, whatever is asked within what it allows, or beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.live_servers import running_server
from support.model_repositories import write_model

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
TOLD_LATER = {503, 504}  # that it is too late, or too busy, is told as such, and is no defect
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Operation]]:
    folder = tmp_path_factory.mktemp("api")
    write_model(folder, "colours")
    with running_server(folder) as server:
        document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        found = [*document.get_all_operations()]
        right = [result.ok() for result in found if isinstance(result, Ok)]
        assert len(right) == len(found), found
        yield right


# Drawn by hand: what Schemathesis adds to pytest does not go with this version of it.
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: str(mode.value))
def test_answers_are_as_the_document_says(operations: list[Operation], mode: schemathesis.GenerationMode) -> None:
    # Of wrong requests, those of the route that has options; others have next to nothing that could be wrong.
    asked = [operation for operation in operations if mode.is_positive or operation.label == "POST /classify"]
    assert len(asked) >= (4 if mode.is_positive else 1)
    for operation in asked:

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def is_right(case: schemathesis.Case[Any]) -> None:
            response = case.call()
            told_later = response.status_code in TOLD_LATER
            case.validate_response(response, checks=CHECKS if told_later else [not_a_server_error, *CHECKS])

        is_right()
