"""Every table by code - HTTP's, the reference page's, the page's and the client's - holds the codes of the tree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from laps_server.api.errors import RETRY_AFTER_S, STATUS
from laps_server.errors import LapsError, MediaError
from support.error_tree import subclasses

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python" / "src" / "laps_client"
SCRIPTS = ROOT / "server" / "src" / "laps_server" / "web" / "js"

BELOW = subclasses(LapsError)  # the root's own code is InternalError's
CODES = {kind.code for kind in BELOW}

# Codes without words on the page: its general ones stand above the server's own message.
WORDLESS_ON_THE_PAGE = {
    # Groups: the server answers with one of their members, or without knowing more.
    *("bad_request", "media_error", "unavailable", "model_error"),
    # The page sends one file that is not empty, as the whole body, to the address that takes it.
    *("bad_multipart", "too_many_files", "file_missing", "not_found", "method_not_allowed"),
    # It asks for no labels and for no embedding.
    *("unknown_label", "no_embedding"),
    # Nobody is left to read it.
    "client_closed",
    # Told where the server is started; until its models are loaded the page meets not_ready.
    *("manifest_invalid", "model_corrupt", "device_missing", "no_models"),
    # Told of a version of a model, which stays out of what is served.
    *("version_changed", "not_enough_memory"),
}
# What the page finds itself, and the one of it where nothing is known but the message.
OWN_OF_THE_PAGE = {"unreachable", "cut", "foreign"}
WORDLESS_OF_ITS_OWN = {"foreign"}


def page_codes() -> list[str]:
    """The keys of the page's table of words."""
    table = (SCRIPTS / "request_errors.js").read_text().partition("HEADLINES = new Map(\n  Object.entries({\n")[2]
    rows = [row for row in table.partition("  }),\n);")[0].splitlines() if not row.lstrip().startswith("//")]
    codes = [re.fullmatch(r"    (\w+): (['\"]).+\2,", row) for row in rows]
    assert None not in codes, rows
    return [code[1] for code in codes if code]


def texts_of(module: str, table: str) -> set[str]:
    """The texts of a table of the client: a dict's keys, or a set's members."""
    for node in ast.walk(ast.parse((CLIENT / module).read_text())):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == table for target in targets):
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            return {text for text in texts if isinstance(text, str)}
    raise LookupError(f"{module} has no {table}")


def test_every_error_has_its_own_code_and_a_status() -> None:
    seen: dict[str, type[LapsError]] = {}
    for error in BELOW:
        assert seen.setdefault(error.code, error) is error, f"{error} and {seen[error.code]} share {error.code!r}"
    assert set(STATUS) == set(seen)
    assert set(RETRY_AFTER_S) <= set(seen)


def test_the_reference_page_lists_every_code_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((code, str(status)) for code, status in STATUS.items())


def test_the_page_has_words_for_every_code_or_is_said_to_need_none() -> None:
    codes = page_codes()
    assert len(codes) == len(set(codes))
    assert not WORDLESS_ON_THE_PAGE & set(codes)
    assert {*codes, *WORDLESS_ON_THE_PAGE} == CODES | OWN_OF_THE_PAGE - WORDLESS_OF_ITS_OWN


def test_the_page_makes_no_code_that_is_neither_the_servers_nor_its_own() -> None:
    made = {code for file in SCRIPTS.glob("*.js") for code in re.findall(r"\bcode: '(\w+)'", file.read_text())}
    assert made - CODES == OWN_OF_THE_PAGE


@pytest.mark.parametrize(
    ("module", "table", "own"),
    [
        ("_responses.py", "_CLASS_OF_CODE", set()),
        ("cli/exit_status.py", "_OPTION_CODES", set()),
        ("cli/exit_status.py", "_HERE_CODES", {"bad_address"}),
    ],
)
def test_the_client_knows_no_code_that_the_server_has_not(module: str, table: str, own: set[str]) -> None:
    assert texts_of(module, table) - own <= CODES
    assert own <= texts_of(module, table)


def test_the_client_takes_every_code_of_a_video_for_a_bad_video() -> None:
    assert texts_of("_responses.py", "_CLASS_OF_CODE") == {
        MediaError.code,
        *(kind.code for kind in subclasses(MediaError)),
    }
