"""Prometheus metrics: an observer of the stages, and what is looked up when somebody scrapes.

Every label value comes from a list that is known: models that are served, codes of the error tree, routes. What a
client sends is never one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from laps_server import __version__
from laps_server.observe import Answered, Batched, Failed, PartDecoded, Queued, Ran, Received, Stage
from laps_server.runtime import Runtime
from laps_server.served_models import ServedModel

CONTENT_TYPE = CONTENT_TYPE_LATEST
OK = "ok"

_MODEL = ("model", "version")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_VIEWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counts everything; see :class:`laps_server.observe.Observer`."""

    def __init__(self) -> None:
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
            "Stages of classify requests: upload and total of a request, decode of a part of its clips, queue of a "
            "view, assemble and infer of a batch.",
            (*_MODEL, "stage"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._batch_views = Histogram(
            "laps_batch_views", "Views in each batch that an engine ran.", _MODEL, registry=registry, buckets=_VIEWS
        )
        self._upload_bytes = Counter("laps_upload_bytes", "Bytes of videos received.", _MODEL, registry=registry)
        self._frames = Counter("laps_frames", "Frames decoded and kept.", _MODEL, registry=registry)
        self._video_seconds = Counter(
            "laps_video_seconds", "Seconds of the videos that were answered, where known.", _MODEL, registry=registry
        )

    # What happens ------------------------------------------------------------------------------------

    def observe(self, stage: Stage) -> None:
        """Count a stage."""
        model = stage.model.rpartition("/")[::2]
        match stage:
            case Received():
                self._upload_bytes.labels(*model).inc(stage.size_bytes)
                self._stages.labels(*model, "upload").observe(stage.seconds)
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
                self._requests.labels(*model, OK).inc()
                self._stages.labels(*model, "total").observe(stage.seconds)
                self._video_seconds.labels(*model).inc(stage.video_s or 0)
            case Failed():
                self._requests.labels(*model, stage.code).inc()
                self._stages.labels(*model, "total").observe(stage.seconds)

    def answered(self, *, route: str, method: str, status: int, code: str | None, seconds: float) -> None:
        """Count an HTTP request; ``code`` is of the error, None where there was none."""
        self._http.labels(route, method, str(status), code or OK).observe(seconds)

    # What is -----------------------------------------------------------------------------------------

    def watch(self, runtime: Runtime) -> None:
        """Look at ``runtime`` whenever somebody scrapes."""
        for model in runtime.served.versions:
            self._requests.labels(model.name, str(model.version), OK)  # a rate needs a counter that begins at 0
        self._registry.register(_Gauges(runtime))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    """What is true at the moment of a scrape."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """One value of each gauge."""
        ready = GaugeMetricFamily("laps_ready", "1 where /readyz says so.")
        ready.add_metric((), float(self._runtime.not_ready_reason is None))
        yield ready
        build = GaugeMetricFamily("laps_build_info", "1, with the server's version.", labels=("server_version",))
        build.add_metric((__version__,), 1)
        yield build
        models = self._runtime.served.versions
        yield _of_models("laps_queue_views", "Views that wait for an engine.", models, _queued)
        yield _of_models("laps_engine_up", "0 where an engine could not run the model now.", models, _is_up)
        info = GaugeMetricFamily(
            "laps_model_info", "1, with what runs the model.", labels=(*_MODEL, "engine", "device")
        )
        for model in models:
            engine = model.scheduler.engine.info
            info.add_metric((model.name, str(model.version), engine.name, engine.device), 1)
        yield info


def _of_models(name: str, text: str, models: Iterable[ServedModel], value: Callable[[ServedModel], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=_MODEL)
    for model in models:
        family.add_metric((model.name, str(model.version)), value(model))
    return family


def _queued(model: ServedModel) -> float:
    return float(model.scheduler.queued_views)


def _is_up(model: ServedModel) -> float:
    return float(model.scheduler.engine.unavailable_reason is None)
