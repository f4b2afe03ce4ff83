"""Every error of a request, as one tree: catch the branch that says what can be done about it.

::

    LapsError
    ├── BadRequest                the request must change: most of 4xx, or it could not be sent at all
    │   ├── Unauthorized          401: the server asks for a key, and was sent none that is valid
    │   ├── Forbidden             403: the key is valid and may not do this
    │   ├── NotFound              404: no such model, version or path
    │   ├── TooLarge              413: more bytes than the server takes
    │   └── BadVideo              415, 422: the file is not a video that can be decoded
    ├── Unavailable               408, 502, 503: the same request may succeed later
    │   ├── QuotaExceeded         429: the key has used what it may for now
    │   ├── ConnectionFailed      no answer: refused, dropped or cut short
    │   ├── TimedOut              no answer: a connect, write or read timeout passed
    │   └── DeadlineExceeded      504, or the request's own time was up
    ├── BadAnswer                 an answer that is not this API's
    └── ServerError               500: a defect of the server

Exceptions of the user's own source or callback are not in this tree; they pass unchanged.
"""

from __future__ import annotations


class LapsError(Exception):
    """Base of the tree.

    Attributes:
        code: stable, for programs; the server's own if it answered.
        message: what was wrong, for people.
        hint: what would be right.
        status: of the HTTP answer; None where there was none.
        request_id: finds the request in the server's log, even if no answer came.
        retry_after_s: seconds that the server asked to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "error",
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        facts = [self.code]
        if self.status is not None:
            facts.append(f"HTTP {self.status}")
        if self.request_id is not None:
            facts.append(f"request {self.request_id}")
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.message}{hint} [{', '.join(facts)}]"


class BadRequest(LapsError):
    """The request must change before it can succeed."""


class Unauthorized(BadRequest):
    """The server asks for a key, and was sent none that is valid."""


class Forbidden(BadRequest):
    """The key is valid and may not do this."""


class NotFound(BadRequest):
    """No such model, version or path."""


class TooLarge(BadRequest):
    """The video has more bytes than the server takes; the limit is in ``models().limits``."""


class BadVideo(BadRequest):
    """The file is not a video that the server can decode."""


class Unavailable(LapsError):
    """The same request may succeed later."""


class QuotaExceeded(Unavailable):
    """The key has used what it may; ``retry_after_s`` says when there is something left again."""


class ConnectionFailed(Unavailable):
    """No answer: the connection was refused, dropped or cut short."""


class TimedOut(Unavailable):
    """No answer: a connect, write or read timeout passed."""


class DeadlineExceeded(Unavailable):
    """The time for the request was up, here or on the server."""


class BadAnswer(LapsError):
    """An answer that is not this API's: another service, a proxy, or a server too old or too new."""


class ServerError(LapsError):
    """A defect of the server; its log has the details under ``request_id``."""
