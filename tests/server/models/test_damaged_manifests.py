"""Whatever stands in a manifest, it is read or refused as one that is invalid."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laps_server.errors import ManifestInvalid
from laps_server.models.manifest import FILE_NAME, parse_manifest
from support.model_repositories import write_model

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from([10**400, -1, 0, "5x3"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One that is right, with all that schema 2 knows of."""
    folder = tmp_path_factory.mktemp("models")
    cost = {"gmacs": 0.5, "parameters_m": 1.5}
    path = write_model(folder, kind="per_step", steps=[(0, 1), (2, 3)], embedding=True, cost=cost) / "1" / FILE_NAME
    written: dict[str, Any] = json.loads(path.read_text())
    return written


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Where values stand, inside and outside of others."""
    if here:
        yield here
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*here, key))


def is_told(text: str) -> None:
    try:
        parse_manifest(text.encode(errors="surrogatepass"), where="model/1/laps.json")
    except ManifestInvalid as exc:
        assert exc.message  # noqa: PT017 - that it may be read, too, is no failure


@settings(max_examples=200)
@given(data=st.data())
def test_a_manifest_with_other_values_is_read_or_refused(manifest: dict[str, Any], data: st.DataObject) -> None:
    changed = copy.deepcopy(manifest)
    for _ in range(data.draw(st.integers(1, 3))):
        *outer, key = data.draw(st.sampled_from(sorted(places(changed), key=str)))
        holder = changed
        for step in outer:
            holder = holder[step]  # type: ignore[index]
        if data.draw(st.booleans()):
            holder[key] = data.draw(VALUES)  # type: ignore[index]
        else:
            del holder[key]  # type: ignore[arg-type]
        if not changed:
            break
    is_told(json.dumps(changed))


@settings(max_examples=100)
@given(st.one_of(st.text(), VALUES.map(json.dumps), st.integers(1, 10**5).map(lambda deep: "[" * deep)))
def test_a_text_that_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestInvalid):
        parse_manifest(text.encode(errors="surrogatepass"), where="model/1/laps.json")
