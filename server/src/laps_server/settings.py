"""The only reader of the environment: every setting, its unit, its default and its limits.

Each field is read from ``LAPS_<NAME>``, and the command line's options set the same fields. docs/settings.md is written
from them. A setting that gets another name goes into :data:`RENAMED`, and is read by the old one for one more release.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from laps_server.answer_memory import DEFAULT_BYTES as DEFAULT_ANSWER_BYTES
from laps_server.engines.choices import (
    DEFAULT_BATCH_VIEWS,
    GPU_BATCH_VIEWS,
    Device,
    EngineOrAuto,
    PrecisionOrAuto,
    SharedMemoryMode,
)
from laps_server.logs import LogFormat
from laps_server.models.repository import DEFAULT_ROOT, VersionChoice
from laps_server.shadow_rule import ShadowRule
from laps_server.video.accepted_formats import CodecSet
from laps_server.video.sandbox.options import IS_AVAILABLE, DecodeMode, FilterMode
from laps_server.view_grid import MAX_VIEWS

# Old name -> name; of the release before.
RENAMED: Mapping[str, str] = MappingProxyType({"triton_calls": "triton_concurrency"})
_PREFIX = "LAPS_"
_WITH_TLS = ("grpcs", "https")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?")


def variable(name: str) -> str:
    """The variable of the environment that a setting is read from."""
    return f"{_PREFIX}{name.upper()}"


def decoder_environment() -> dict[str, str]:
    """What the processes that decode get of this one's: nothing of its settings, and one thread for numpy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def available_cores() -> int:
    """Cores that this process may run on, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def default_cache_dir() -> Path | None:
    """A folder below the user's own for caches; None where there is no user with a home."""
    own = os.environ.get("XDG_CACHE_HOME", "")
    home = Path("~").expanduser() if own == "" else None
    folder = Path(own) if home is None else home / ".cache"
    return folder / "laps-server" if folder.is_absolute() else None


def has_trace_collector() -> bool:
    """Whether OpenTelemetry's own variables name one; all others of them its SDK reads by itself."""
    named = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return os.environ.get("OTEL_TRACES_EXPORTER") != "none" and any(os.environ.get(name) for name in named)


def _check_triton_url(value: str) -> str:
    """A scheme, a host and a port and nothing else, so that no part of an address is silently ignored."""
    try:
        parts = urlsplit(value)
        right = parts.scheme in {"grpc", "http", *_WITH_TLS} and parts.hostname and parts.port
    except ValueError:
        right = False
    if not right or value != f"{parts.scheme}://{parts.netloc}" or "@" in value:
        raise ValueError("must be grpc://host:port or http://host:port, with TLS grpcs:// or https://")
    return value


def _check_certificates(value: Path) -> Path:
    """Read as OpenSSL will read it, so that a wrong file is told at start and by its name."""
    try:
        ssl.create_default_context(cafile=value)
    except OSError as exc:  # what OpenSSL raises is one too
        raise ValueError(f"{value} has no certificates that can be read (PEM): {exc.strerror or exc}") from exc
    return value


def _check_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as browsers send them: any other would never match, and nobody would be told."""
    for origin in value:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin, as https://app.example or http://localhost:3000 is")
    return value


CaFile = Annotated[Path, AfterValidator(_check_certificates)]
TritonUrl = Annotated[str, AfterValidator(_check_triton_url)]


def _split(separator: str, value: Any) -> Any:
    """Texts, one or several, cut at ``separator``; a path is one, whatever its name."""
    if isinstance(value, Path):
        return (value,)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    parts = [part for text in texts for part in (text.split(separator) if isinstance(text, str) else [text])]
    return tuple(stripped for part in parts if (stripped := part.strip() if isinstance(part, str) else part))


# Pydantic-settings would read them as JSON.
Folders = Annotated[
    tuple[Path, ...], NoDecode, BeforeValidator(lambda value: _split(os.pathsep, value)), Field(min_length=1)
]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(lambda value: _split(",", value))]
Origins = Annotated[Names, AfterValidator(_check_origins)]


def _check_shadow(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        ShadowRule.parse(value)
    return values


Shadow = Annotated[Names, AfterValidator(_check_shadow)]


class _Environment(EnvSettingsSource):
    """The environment, with what it has under old names."""

    def __call__(self) -> dict[str, Any]:
        """Values by the names of their settings, old names among them."""
        old = {name: value for name in RENAMED if (value := self.env_vars.get(variable(name).lower())) is not None}
        return old | super().__call__()


class Settings(BaseSettings):
    """Everything that an operator can choose, validated at start."""

    # An empty variable is one that is not set: compose files cannot leave a variable out.
    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, protected_namespaces=()
    )

    _old_names: tuple[str, ...] = PrivateAttr(())

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    internal_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Second TCP port, for /metrics, /docs and /admin; the first one does not answer them then. There "
        "/admin alone asks for a key.",
    )
    internal_host: str = Field(
        "127.0.0.1", description="Address of the second port; whoever reaches it may read the metrics."
    )
    keys_file: Path | None = Field(
        None,
        description="File of API keys, as laps-server keys writes it; nobody without one of them is answered. Changes "
        "are seen within a second.",
    )
    allow_anonymous: bool = Field(
        False,
        description="Answer everybody, without keys, on an address that other machines may reach.",
    )
    cors_origins: Origins = Field(
        (),
        description="Sites whose pages may call this server from a browser, as https://app.example, with commas "
        "between them; none if not set.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_format: LogFormat = Field("text", description="Lines of the log: text for people, or JSON, one object a line.")
    traces: bool = Field(
        default_factory=has_trace_collector,
        description="Send traces of classify requests by OpenTelemetry, which the extra `otel` brings; its own "
        "variables say where to and how many (docs/operations.md).",
    )

    model_repository: Folders = Field(
        (DEFAULT_ROOT,),
        description=f"Folder with one folder a model, or several with `{os.pathsep}` between them: of models of one "
        "name the first folder's is served.",
    )
    versions: VersionChoice = Field(
        "latest", description="Serve each model's highest version, or every version there is."
    )
    reload_interval_s: float = Field(
        10.0,
        ge=0,
        le=86_400,
        description="Seconds between two looks at the model repository, for versions that came or went; 0 for none "
        "but those that `POST /admin/reload` asks for (docs/lifecycle.md).",
    )
    shadow: Shadow = Field(
        (),
        description="Second models that a share of the requests runs through too, in the background, for metrics "
        "alone: NAME:SHARE for the default model's requests, NAME/VERSION:SHARE for those of the same model, "
        "MODEL=NAME:SHARE for those of another; several with commas between them (docs/lifecycle.md).",
    )
    max_memory_mib: int | None = Field(
        None,
        ge=1,
        description="Most memory that the process may take when a version is loaded beside those that are served, in "
        "MiB; nine tenths of the machine's or its control group's if not set. A version that would need more is "
        "refused.",
    )
    default_model: Names = Field(
        (),
        description="Model of a request that names none; the first in alphabetical order if not set. It has to be "
        "there; of several, with commas between them, the first that is there is taken.",
    )

    engine: EngineOrAuto = Field(
        "auto",
        description="What runs the models: openvino is OpenVINO and ort ONNX Runtime, in this process; triton is a "
        "Triton server behind it. auto takes of those in this process the one that a trial at start finds fastest "
        "(docs/engines.md).",
    )
    precision: PrecisionOrAuto = Field(
        "auto",
        description="What models are computed in: float32, bfloat16, float16 or int8. auto takes the fastest whose "
        "answers hold beside those of float32.",
    )
    cache_dir: Path | None = Field(
        default_factory=default_cache_dir,
        description="Folder that keeps what trials of engines found and what TensorRT compiled; without one each start "
        "tries and compiles again.",
    )
    triton_url: TritonUrl | None = Field(
        None,
        description="Triton's address, as grpc://host:8001 or http://host:8000, with TLS grpcs:// or https://; needed "
        "if engine is triton.",
    )
    triton_ca_file: CaFile | None = Field(
        None,
        description="Certificates (PEM) of the authorities that may sign Triton's, with grpcs:// and https://; the "
        "system's if not set.",
    )
    triton_shared_memory: SharedMemoryMode = Field(
        "auto",
        description="Clips go to Triton in shared memory: auto if it can open ours, on refuses to start if it cannot.",
    )
    triton_concurrency: int = Field(
        1,
        ge=1,
        le=64,
        description="Batches in flight to Triton, for each model; 2 where pixels take long to get there.",
    )
    triton_timeout_s: float = Field(
        60.0, gt=0, le=3600, description="Seconds that Triton may take for a batch until 504 backend_timeout."
    )
    triton_start_timeout_s: float = Field(
        300.0, gt=0, le=86_400, description="Seconds that a start waits for Triton and its models to be ready."
    )
    device: Device = Field(
        "cpu",
        description="Where models run in this process: cpu, or with an NVIDIA GPU and ONNX Runtime's build for it cuda "
        "or tensorrt, which compiles each model at its first start.",
    )
    threads: int = Field(
        default_factory=available_cores,
        ge=1,
        le=512,
        description="Threads of inference, for all models together.",
    )
    max_batch_views: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Most views in one batch, if not set "
        f"{', '.join(f'{most} for {name}' for name, most in DEFAULT_BATCH_VIEWS.items())}, {GPU_BATCH_VIEWS} on a GPU; "
        "batch sizes are the powers of 2 up to it, and up to the `max_batch` of a model's manifest.",
    )
    max_queued_views: int = Field(
        1024, ge=MAX_VIEWS, description="Views that may wait for one model before requests get 503 overloaded."
    )

    decode_workers: int = Field(
        default_factory=lambda: min(2, available_cores()),
        ge=1,
        le=128,
        description="Videos decoded at the same time.",
    )
    decode_threads: int = Field(1, ge=1, le=16, description="Threads of each decoder.")
    decode: DecodeMode = Field(
        "sandbox",
        description="sandbox: each video is decoded in a process of its own that can do nothing else, on Linux; "
        "thread: in the server's process, which a file that crashes the decoder takes down.",
    )
    decode_filter: FilterMode = Field(
        "auto",
        description="Whether the sandbox's system calls are filtered. auto: where the kernel can, and a warning where "
        "it cannot; required: the server does not start without; off.",
    )
    decode_memory_mib: int = Field(
        3072, ge=64, description="Memory that the decoder of one video may take in the sandbox, in MiB; more is 422."
    )
    decode_stall_s: float = Field(
        30.0, gt=0, description="Seconds without a packet after which a decoder in the sandbox is killed: 422."
    )
    codecs: CodecSet = Field(
        "standard",
        description="Which videos are decoded: wide adds old and professional kinds to the standard ones, as WMV, DV "
        "and DNxHD, and needs decode sandbox.",
    )
    max_pixels: int = Field(
        33_177_600,
        ge=64,
        description="Most pixels of a frame (7680 x 4320); larger is 422 resolution_too_large.",
    )
    max_segments: int = Field(2000, ge=1, le=100_000, description="Most windows of a video in segments; more is 422.")

    max_upload_bytes: int = Field(512 * 2**20, ge=1, description="Largest upload, in bytes.")
    upload_dir: Path | None = Field(None, description="Folder of uploads in progress; the system's if not set.")
    upload_idle_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Seconds without a byte after which an upload is 408 slow_upload."
    )
    min_upload_bytes_per_s: int = Field(
        16 * 2**10, ge=0, description="Average rate below which an upload is 408 slow_upload, after the idle timeout."
    )
    max_requests: int = Field(64, ge=1, description="Classify requests at once; one more gets 503 overloaded.")
    max_answers_bytes: int = Field(
        DEFAULT_ANSWER_BYTES,
        ge=1,
        description="Bytes of all answers that are collected or not yet read; a request whose answer would not fit "
        "beside the others gets 503 overloaded.",
    )
    default_deadline_s: float = Field(
        300.0, gt=0, le=86_400, description="Deadline of a request that names none, in seconds from its arrival."
    )
    max_deadline_s: float = Field(1800.0, gt=0, le=86_400, description="Longest deadline that a request may ask for.")
    heartbeat_s: float = Field(
        10.0, gt=0, le=3600, description="Seconds without an event after which a stream of events says heartbeat."
    )
    drain_timeout_s: float = Field(
        60.0, ge=0, le=86_400, description="Seconds that requests in flight get to finish after SIGTERM."
    )
    drain_notice_s: float = Field(
        0.0,
        ge=0,
        le=3600,
        description="Seconds that /readyz says 503 on SIGTERM before the port closes, for load balancers.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours takes its place
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from, the first of them first: pydantic-settings asks for this."""
        return init_settings, _Environment(settings_cls), dotenv_settings, file_secret_settings

    @model_validator(mode="wrap")
    @classmethod
    def _read_old_names(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Where a setting is given by both of its names, the old one is passed over."""
        old = {name: value for name, value in values.items() if name in RENAMED}
        current = {name: value for name, value in values.items() if name not in RENAMED}
        settings = handler({RENAMED[name]: value for name, value in old.items()} | current)
        settings._old_names = tuple(old)
        return settings

    @field_validator("upload_dir")
    @classmethod
    def _is_a_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError(f"{value} is not a folder")
        return value

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.internal_port == self.port:
            raise ValueError(f"internal_port is {self.port}, which is port already")
        return self

    @model_validator(mode="after")
    def _deadlines_fit(self) -> Self:
        if self.default_deadline_s > self.max_deadline_s:
            raise ValueError(
                f"default_deadline_s {self.default_deadline_s:g} is longer than max_deadline_s {self.max_deadline_s:g}"
            )
        return self

    @model_validator(mode="after")
    def _old_decoders_are_confined(self) -> Self:
        if self.codecs == "wide" and (self.decode == "thread" or not IS_AVAILABLE):
            where = "" if IS_AVAILABLE else ", which only Linux has"
            raise ValueError(f"codecs wide lets in decoders that few people test, and needs decode sandbox{where}")
        return self

    @model_validator(mode="after")
    def _triton_has_an_address(self) -> Self:
        if self.engine == "triton" and self.triton_url is None:
            raise ValueError("engine triton needs triton_url, as grpc://host:8001")
        return self

    @model_validator(mode="after")
    def _triton_ca_file_is_used(self) -> Self:
        if self.triton_ca_file and self.triton_url and not self.triton_url.startswith(_WITH_TLS):
            raise ValueError(f"triton_ca_file is for grpcs:// and https://, and triton_url is {self.triton_url}")
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should change before the next release."""
        return tuple(
            f"{variable(old)} is now {variable(RENAMED[old])}: the next release does not read the old name"
            for old in self._old_names
        )

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Powers of two up to ``max_batch_views``: few shapes, so that memory and warm-up stay bounded."""
        # Of what a trial may choose the largest; the engine that it chooses takes of them what pays for it.
        default = DEFAULT_BATCH_VIEWS["ort" if self.engine == "auto" else self.engine]
        most = self.max_batch_views or (default if self.device == "cpu" else GPU_BATCH_VIEWS)
        return tuple(2**i for i in range(most.bit_length()))
