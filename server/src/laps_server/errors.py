"""Every error that a user can cause or meet, as one tree with stable codes.

::

    LapsError
    ├── BadRequest                       the request itself is wrong
    │   ├── BadMultipart                 multipart body that cannot be parsed
    │   ├── TooManyFiles                 more than one file in one request
    │   ├── FileMissing                  no complete file in the request
    │   ├── TooLarge                     more bytes than the limit
    │   ├── SlowUpload                   the body stopped arriving
    │   ├── BadParameter                 a query parameter out of range (views, top_k, ...)
    │   ├── UnknownLabel                 a label that the model does not have
    │   ├── NoEmbedding                  an embedding of a model that gives none
    │   ├── ModelNotFound / VersionNotFound
    │   ├── PathNotFound / MethodNotAllowed  no such route
    │   ├── Unauthorized / Forbidden     no valid key, or one that may not do this
    │   └── ClientClosed                 the client went away; nobody reads this one
    ├── MediaError                       the file is the problem
    │   ├── UnsupportedContainer / UnsupportedCodec
    │   ├── NoVideoStream
    │   ├── VideoCorrupt
    │   ├── ResolutionTooLarge
    │   ├── TooManyStreams
    │   └── DecoderCrashed               the decoder's process did not survive it
    ├── Unavailable                      try again later
    │   ├── NotReady / ShuttingDown / Overloaded / StorageFull
    │   ├── QuotaExceeded                a key has used what it may
    │   ├── DeadlineExceeded
    │   └── BackendUnavailable / BackendTimeout      the server behind this one is the problem
    ├── ModelError                       a model on disk cannot be served
    │   ├── ManifestInvalid / ModelCorrupt
    │   ├── BackendMismatch              the server behind this one has another model than the manifest's
    │   ├── DeviceMissing
    │   ├── VersionChanged               other files under a number that is served
    │   ├── NotEnoughMemory              no room beside what is served
    │   └── NoModels
    └── InternalError                    a defect of ours

No web import here: ``api/errors.py`` maps the codes to HTTP in one place. Messages say what was wrong,
hints what would be right; both may be shown to a client, so neither holds a path of the server.
"""

from __future__ import annotations

from typing import Any


class LapsError(Exception):
    """Base of the tree: ``code`` is stable, ``message`` is for people, ``hint`` says what would be right.

    ``retry_after_s`` is when the same request may succeed, where this very error knows; else its code may say.
    Errors are equal where class, message and hint are, so that one that came from another process can be compared.
    """

    code = "internal"

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self.args), vars(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LapsError):
            return NotImplemented
        return (type(self), self.message, self.hint) == (type(other), other.message, other.hint)

    def __hash__(self) -> int:
        return hash((type(self), self.message, self.hint))


class BadRequest(LapsError):
    """The request is wrong, whatever the video."""

    code = "bad_request"


class BadMultipart(BadRequest):
    """A multipart body that cannot be parsed."""

    code = "bad_multipart"


class TooManyFiles(BadRequest):
    """More than one file part in one request."""

    code = "too_many_files"


class FileMissing(BadRequest):
    """No complete file in the request."""

    code = "file_missing"


class TooLarge(BadRequest):
    """More bytes than the server takes."""

    code = "too_large"


class SlowUpload(BadRequest):
    """The body stopped arriving."""

    code = "slow_upload"


class BadParameter(BadRequest):
    """A parameter out of its range."""

    code = "bad_parameter"


class UnknownLabel(BadRequest):
    """A label that the model does not have."""

    code = "unknown_label"


class NoEmbedding(BadRequest):
    """An embedding was asked for, and the model gives none."""

    code = "no_embedding"


class ModelNotFound(BadRequest):
    """No model of that name is served."""

    code = "model_not_found"


class VersionNotFound(BadRequest):
    """The model is served, that version of it is not."""

    code = "version_not_found"


class PathNotFound(BadRequest):
    """The server has no such path."""

    code = "not_found"


class MethodNotAllowed(BadRequest):
    """The path is there, for another method."""

    code = "method_not_allowed"


class Unauthorized(BadRequest):
    """No key was sent, or none that is valid."""

    code = "unauthorized"


class Forbidden(BadRequest):
    """The key is valid and may not do this."""

    code = "forbidden"


class ClientClosed(BadRequest):
    """The client disconnected; its work is stopped and nobody reads the answer."""

    code = "client_closed"


class MediaError(LapsError):
    """The file itself cannot be classified."""

    code = "media_error"


class UnsupportedContainer(MediaError):
    """Not a video container that the server opens."""

    code = "unsupported_container"


class UnsupportedCodec(MediaError):
    """A video stream whose codec is not on the list."""

    code = "unsupported_codec"


class NoVideoStream(MediaError):
    """Audio only, or nothing but cover art."""

    code = "no_video_stream"


class VideoCorrupt(MediaError):
    """Not one needed frame could be decoded."""

    code = "video_corrupt"


class ResolutionTooLarge(MediaError):
    """Pictures larger, longer or together more than the server keeps."""

    code = "resolution_too_large"


class TooManyStreams(MediaError):
    """More streams than a video has."""

    code = "too_many_streams"


class DecoderCrashed(MediaError):
    """The process that decodes crashed on it twice, got no further, or needed more memory than it may take."""

    code = "decoder_crashed"


class Unavailable(LapsError):
    """The server cannot answer now; the same request may succeed later."""

    code = "unavailable"


class NotReady(Unavailable):
    """Models are still loading."""

    code = "not_ready"


class ShuttingDown(Unavailable):
    """The server finishes what it has and takes nothing new."""

    code = "shutting_down"

    def __init__(self, *, hint: str = "send the request again") -> None:
        super().__init__("the server is shutting down", hint=hint)


class Overloaded(Unavailable):
    """The queue is full."""

    code = "overloaded"


class QuotaExceeded(Unavailable):
    """The key has used what it may; others are still served."""

    code = "quota_exceeded"


class StorageFull(Unavailable):
    """No space for the upload."""

    code = "storage_full"


class DeadlineExceeded(Unavailable):
    """The request's deadline passed before its answer was complete."""

    code = "deadline_exceeded"


class BackendUnavailable(Unavailable):
    """The inference server behind this one cannot be reached or is not ready."""

    code = "backend_unavailable"


class BackendTimeout(Unavailable):
    """The inference server behind this one took a batch and did not answer in time."""

    code = "backend_timeout"


class ModelError(LapsError):
    """A model on disk cannot be served."""

    code = "model_error"


class ManifestInvalid(ModelError):
    """A manifest that is not what the server understands."""

    code = "manifest_invalid"


class ModelCorrupt(ModelError):
    """A model's files do not match its manifest."""

    code = "model_corrupt"


class BackendMismatch(ModelError):
    """The inference server behind this one does not serve the model that the manifest describes."""

    code = "backend_mismatch"


class DeviceMissing(ModelError):
    """The device that models are to run on is not there, or cannot be used."""

    code = "device_missing"


class VersionChanged(ModelError):
    """A version's files are others than those that were loaded under its number."""

    code = "version_changed"


class NotEnoughMemory(ModelError):
    """A version has no room beside those that are served."""

    code = "not_enough_memory"


class NoModels(ModelError):
    """The repository holds no model."""

    code = "no_models"


class InternalError(LapsError):
    """A defect of the server; details are in its log under the request id."""

    code = "internal"


def _unpickled(error_type: type[LapsError], args: tuple[Any, ...]) -> LapsError:
    """An error whose attributes pickle sets; not by ``__init__``, since not all take the same arguments."""
    return error_type.__new__(error_type, *args)
