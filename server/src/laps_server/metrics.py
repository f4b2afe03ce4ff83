"""Prometheus metrics: an observer of the stages, and what is looked up when somebody scrapes.

Every label value comes from a list that is known: models that are served, codes of the error tree, routes. What a
client sends is never one. Of versions that are served no more a few are kept, for whoever scrapes after they were
retired: a server that is given new versions for months must not hold numbers of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from laps_server import __version__
from laps_server.errors import InternalError
from laps_server.observe import (
    Answered,
    Batched,
    DecoderEnd,
    DecoderEnded,
    DecoderStarted,
    Failed,
    Loaded,
    PartDecoded,
    Queued,
    Ran,
    Received,
    Shadowed,
    Stage,
    Waited,
)
from laps_server.runtime import Runtime
from laps_server.served_models import ServedModel

CONTENT_TYPE = CONTENT_TYPE_LATEST
OK = "ok"

_MODEL = ("model", "version")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_RATIOS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SHADOW = (*_MODEL, "shadow")
_SHIFTS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_VIEWS = (1, 2, 4, 8, 16, 32, 64)
_KEPT_VERSIONS = 16  # that are served no more


class Metrics:
    """Counts everything; see :class:`laps_server.observe.Observer`."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._versions: dict[tuple[str, str], None] = {}  # those that there are numbers of, in the order they came in
        self._registry = registry = CollectorRegistry()
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=registry)
        self._http = Histogram(
            "laps_http_request_seconds",
            "Every HTTP request from its headers to its last byte, by what it was answered with.",
            ("route", "method", "status", "code"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._requests = Counter(
            "laps_requests",
            "Classify requests of a model by outcome: ok, or the error's code.",
            (*_MODEL, "outcome"),
            registry=registry,
        )
        self._stages = Histogram(
            "laps_stage_seconds",
            "Stages of classify requests: upload and total of a request, wait for a decoder and decode of a part of "
            "its clips, queue of a view, assemble and infer of a batch.",
            (*_MODEL, "stage"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._batch_views = Histogram(
            "laps_batch_views", "Views in each batch that an engine ran.", _MODEL, registry=registry, buckets=_VIEWS
        )
        self._shadows = Counter(
            "laps_shadow_requests",
            "Requests that a shadow was to run too, by outcome: ok, dropped for other requests, or the error's code.",
            (*_SHADOW, "outcome"),
            registry=registry,
        )
        self._shadows_agreed = Counter(
            "laps_shadow_agreed", "Those of them with the same top label.", _SHADOW, registry=registry
        )
        self._shadow_shift = Histogram(
            "laps_shadow_score_shift",
            "How far a shadow's score of the answer's top label was from the answer's.",
            _SHADOW,
            registry=registry,
            buckets=_SHIFTS,
        )
        self._shadow_seconds = Histogram(
            "laps_shadow_seconds", "What a shadow took.", _SHADOW, registry=registry, buckets=_SECONDS
        )
        self._loads = Counter(
            "laps_model_loads",
            "Versions that came while the server ran, by outcome: ok, or the code of what they were refused for.",
            (*_MODEL, "outcome"),
            registry=registry,
        )
        self._upload_bytes = Counter("laps_upload_bytes", "Bytes of videos received.", _MODEL, registry=registry)
        self._frames = Counter("laps_frames", "Frames decoded and kept.", _MODEL, registry=registry)
        self._video_seconds = Counter(
            "laps_video_seconds", "Seconds of the videos that were answered, where known.", _MODEL, registry=registry
        )
        self._decode_ratio = Histogram(
            "laps_decode_seconds_per_video_second",
            "Seconds that an answered request was decoded, for each second of its video.",
            _MODEL,
            registry=registry,
            buckets=_RATIOS,
        )
        self._decoders_started = Counter("laps_decoders_started", "Processes that decode, started.", registry=registry)
        self._decoders_ended = Counter(
            "laps_decoders_ended",
            "Processes that decode, ended: recycled and spare as they should, the others as what was lost.",
            ("reason",),
            registry=registry,
        )
        for reason in get_args(DecoderEnd):
            self._decoders_ended.labels(reason)
        self._of_models = (
            self._requests,
            self._stages,
            self._batch_views,
            self._loads,
            self._upload_bytes,
            self._frames,
            self._video_seconds,
            self._decode_ratio,
        )
        self._of_shadows = (self._shadows, self._shadows_agreed, self._shadow_shift, self._shadow_seconds)

    # What happens ------------------------------------------------------------------------------------

    def observe(self, stage: Stage) -> None:
        """Count a stage."""
        match stage:
            case DecoderStarted():
                self._decoders_started.inc()
            case DecoderEnded():
                self._decoders_ended.labels(stage.why).inc()
            case _:
                self._count_for(stage, _labels(stage.model))

    def _count_for(self, stage: Stage, model: tuple[str, str]) -> None:
        self._versions.setdefault(model)
        match stage:
            case Received():
                self._upload_bytes.labels(*model).inc(stage.size_bytes)
                self._stages.labels(*model, "upload").observe(stage.seconds)
            case Waited():
                self._stages.labels(*model, "wait").observe(stage.seconds)
            case PartDecoded():
                self._frames.labels(*model).inc(stage.frames)
                self._stages.labels(*model, "decode").observe(stage.seconds)
            case Queued():
                self._stages.labels(*model, "queue").observe(stage.seconds)
            case Batched():
                self._stages.labels(*model, "assemble").observe(stage.seconds)
            case Ran():
                self._batch_views.labels(*model).observe(len(stage.request_ids))
                self._stages.labels(*model, "infer").observe(stage.seconds)
            case Answered():
                self._request_answered(stage, model)
            case Shadowed():
                self._shadow_ran(stage, model)
            case Loaded():
                self._loads.labels(*model, stage.code or OK).inc()
                self._forget_retired()
            case Failed():
                self._requests.labels(*model, stage.code).inc()
                self._stages.labels(*model, "total").observe(stage.seconds)

    def _request_answered(self, stage: Answered, model: tuple[str, str]) -> None:
        self._requests.labels(*model, OK).inc()
        self._stages.labels(*model, "total").observe(stage.seconds)
        if stage.video_s:
            self._video_seconds.labels(*model).inc(stage.video_s)
            self._decode_ratio.labels(*model).observe(stage.decode_s / stage.video_s)

    def _shadow_ran(self, stage: Shadowed, model: tuple[str, str]) -> None:
        pair = (*model, stage.shadow)
        self._versions.setdefault(_labels(stage.shadow))
        self._shadows.labels(*pair, stage.outcome).inc()
        if stage.agreed is not None:
            self._shadow_seconds.labels(*pair).observe(stage.seconds)
            self._shadows_agreed.labels(*pair).inc(stage.agreed)
        if stage.shift is not None:
            self._shadow_shift.labels(*pair).observe(stage.shift)

    def _forget_retired(self) -> None:
        """Drop what was counted of versions that are served no more, but for the last of them."""
        served = {(model.name, str(model.version)) for model in self._served}
        retired = [version for version in self._versions if version not in served]
        for name, version in retired[:-_KEPT_VERSIONS]:
            del self._versions[name, version]
            for family in (*self._of_models, *self._of_shadows):
                family.remove_by_labels({"model": name, "version": version})
            for family in self._of_shadows:
                family.remove_by_labels({"shadow": f"{name}/{version}"})

    def answered(self, *, route: str, method: str, status: int, code: str | None, seconds: float) -> None:
        """Count an HTTP request; ``code`` is of the error, None where there was none."""
        self._http.labels(route, method, str(status), code or OK).observe(seconds)

    # What is -----------------------------------------------------------------------------------------

    def watch(self, runtime: Runtime, slots: Slots) -> None:
        """Look at ``runtime``, and at the slots for its requests, whenever somebody scrapes."""
        self._runtime = runtime
        self._registry.register(_Gauges(runtime, slots))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        for model in self._served:
            version = model.name, str(model.version)
            self._versions.setdefault(version)
            for outcome in (OK, InternalError.code):  # a rate needs a counter that begins at 0
                self._requests.labels(*version, outcome)
        return generate_latest(self._registry)

    @property
    def _served(self) -> tuple[ServedModel, ...]:
        return self._runtime.served.versions if self._runtime else ()


class Slots(Protocol):
    """Places for classify requests: how many are taken, of how many."""

    @property
    def active(self) -> int:
        """Taken now."""
        ...

    @property
    def max_requests(self) -> int:
        """All of them."""
        ...


def _labels(shown: str) -> tuple[str, str]:
    """A model's name and version."""
    name, _, version = shown.rpartition("/")
    return name, version


class _Gauges(Collector):
    """What is true at the moment of a scrape."""

    def __init__(self, runtime: Runtime, slots: Slots) -> None:
        self._runtime = runtime
        self._slots = slots

    def collect(self) -> Iterator[Metric]:
        """One value of each gauge."""
        ready = GaugeMetricFamily("laps_ready", "1 where /readyz says so.")
        ready.add_metric((), float(self._runtime.not_ready_reason is None))
        yield ready
        build = GaugeMetricFamily("laps_build_info", "1, with the server's version.", labels=("server_version",))
        build.add_metric((__version__,), 1)
        yield build
        for name, text, number in (
            ("laps_requests_in_flight", "Classify requests that hold a slot.", self._slots.active),
            ("laps_requests_in_flight_max", "Slots for classify requests.", self._slots.max_requests),
            ("laps_decoders", "Processes that decode; none where threads do.", self._runtime.decode_pool.processes),
        ):
            yield GaugeMetricFamily(name, text, value=number)
        models = self._runtime.served.versions
        yield _of_models("laps_queue_views", "Views that wait for an engine.", models, _queued)
        yield _of_models("laps_queue_seconds", "Seconds until the engine is through with them.", models, _work_s)
        away = "0 where an engine could not run the model now, as Triton that is away or whose breaker is open."
        yield _of_models("laps_engine_up", away, models, _is_up)
        info = GaugeMetricFamily(
            "laps_model_info", "1, with what runs the model.", labels=(*_MODEL, "engine", "device", "precision")
        )
        for model in models:
            engine = model.scheduler.engine.info
            info.add_metric((model.name, str(model.version), engine.name, engine.device, engine.precision), 1)
        yield info
        failed = GaugeMetricFamily(
            "laps_model_failed", "1 for a version of the repository that is refused.", labels=(*_MODEL, "code")
        )
        for version in self._runtime.failed_versions:
            failed.add_metric((version.name, str(version.version), version.code), 1)
        yield failed


def _of_models(name: str, text: str, models: Iterable[ServedModel], value: Callable[[ServedModel], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=_MODEL)
    for model in models:
        family.add_metric((model.name, str(model.version)), value(model))
    return family


def _queued(model: ServedModel) -> float:
    return float(model.scheduler.queued_views)


def _work_s(model: ServedModel) -> float:
    return model.scheduler.work_s


def _is_up(model: ServedModel) -> float:
    return float(model.scheduler.engine.unavailable_reason is None)
