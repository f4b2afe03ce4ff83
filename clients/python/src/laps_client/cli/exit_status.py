"""How the command ends: numbers that scripts depend on and docs/cli.md lists, and the error that carries one."""

from __future__ import annotations

from laps_client.errors import (
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    LapsError,
    NotFound,
    TimedOut,
    Unauthorized,
    Unavailable,
)

OK = 0
SOME_FAILED = 1
USAGE = 2
NO_SERVER = 3
NOT_WRITTEN = 4
DIFFERS = 5
INTERRUPTED = 130  # 128 and the signal's number, as shells say it
TERMINATED = 143
PIPE_CLOSED = 141

KEY_HINT = "laps login keeps a key for a server; --api-key and LAPS_API_KEY give one"
START_HINT = "start it, with make serve or laps-server serve, or name another with --url"


class CommandFailed(Exception):
    """The command cannot go on; becomes a message on standard error and an exit status."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


def wrong_use(message: str, hint: str | None = None) -> CommandFailed:
    """The command line must change."""
    return CommandFailed(USAGE, message, hint)


def no_server(message: str, hint: str | None = None) -> CommandFailed:
    """There is no server that takes videos now."""
    return CommandFailed(NO_SERVER, message, hint)


def not_written(where: str, error: OSError, hint: str | None = None) -> CommandFailed:
    """Results cannot be written."""
    return CommandFailed(NOT_WRITTEN, f"{where}: {error.strerror or error}", hint)


_OPTION_CODES = frozenset({"model_not_found", "version_not_found", "bad_parameter", "unknown_label", "no_embedding"})
_HERE_CODES = frozenset({"bad_address", "bad_request"})


def is_wrong_use(error: LapsError) -> bool:
    """Whether the options are wrong, so that every file would get the same error."""
    return isinstance(error, BadRequest) and error.code in _OPTION_CODES | _HERE_CODES


def is_locked_out(error: LapsError) -> bool:
    """Whether the server refuses the key, or the lack of one: it will refuse every other file too."""
    return isinstance(error, Unauthorized | Forbidden)


def may_be_no_server(error: LapsError) -> bool:
    """Whether the server may be gone; a health check then decides."""
    return isinstance(error, ConnectionFailed) or (isinstance(error, Unavailable) and error.status in (None, 502, 503))


def may_be_too_slow(error: LapsError) -> bool:
    """Whether the time ran out, which says nothing about the server: it may run out again for the same file."""
    return isinstance(error, DeadlineExceeded) or (isinstance(error, TimedOut) and error.code == "read_timeout")


def failure_for(error: LapsError) -> CommandFailed:
    """How to end where a request failed without which the command cannot go on."""
    if error.code == "connect_failed":
        return CommandFailed(NO_SERVER, error.message, START_HINT)
    if is_locked_out(error):
        return CommandFailed(USAGE, error.message, KEY_HINT if isinstance(error, Unauthorized) else error.hint)
    if is_wrong_use(error):
        return CommandFailed(USAGE, error.message, error.hint)
    if isinstance(error, NotFound):
        return CommandFailed(NO_SERVER, error.message, "is --url a LAPS server?")
    return CommandFailed(NO_SERVER, error.message, error.hint)
