"""OpenTelemetry traces: one span a classify request, with a child for each of its stages; the only import of it.

::

    POST /classify ┬ upload
                   ├ wait, decode   of each Part
                   ├ batch          pixels of a batch put together
                   ├ queue, infer   of each batch
                   └ answer         from the last batch to the answer's last byte

Spans are exported by a thread of their own, in batches over OTLP/HTTP. Where its queue is full they are dropped: a
collector that is slow or away costs spans, never a request. Which collector, which share of requests and how large
batches are say the variables ``OTEL_...``, which OpenTelemetry's SDK reads by itself;
:attr:`laps_server.settings.Settings.traces` says whether there are traces at all.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from laps_server import __version__
from laps_server.observe import Batched, PartDecoded, Queued, Ran, Received, Stage, Waited, now, wall_ns

_W3C = TraceContextTextMapPropagator()
_MAX_STAGES = 200  # a film in segments has thousands
_CLOSE_TIMEOUT_S = 5.0
_NS = 1_000_000_000


class RequestTrace:
    """The span of one request, and an observer that turns the request's own stages into its children."""

    def __init__(self, tracer: Tracer, *, span: Span, began_ns: int) -> None:
        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span)
        self._began_ns = began_ns
        self._began = now()
        self._stages = 0
        self._wait_s = 0.0
        self._queue_s = 0.0
        self._ran: float | None = None  # when the newest batch had run

    @property
    def headers(self) -> Mapping[str, str]:
        """What makes spans of another server this one's children."""
        headers: dict[str, str] = {}
        _W3C.inject(headers, self._context)
        return headers

    def observe(self, stage: Stage) -> None:
        """Add the stage that has just ended."""
        at = now()
        match stage:
            case Received():
                self._add("upload", at - stage.seconds, at, {"laps.bytes": stage.size_bytes})
            case Waited():  # told together with the Part that was waited for
                self._wait_s = stage.seconds
            case PartDecoded():
                began = at - stage.seconds
                self._add("wait", began - self._wait_s, began, {})
                self._add("decode", began, at, {"laps.frames": stage.frames, "laps.views": stage.views})
            case Batched():
                self._add("batch", at - stage.whole_s, at, {"laps.views": len(stage.request_ids)})
            case Queued():
                self._queue_s = max(self._queue_s, stage.seconds)
            case Ran():
                began, views = at - stage.whole_s, {"laps.views": len(stage.request_ids)}
                self._add("queue", began - self._queue_s, began, views)
                self._add("infer", began, at, views)
                self._queue_s = 0.0
                self._ran = at
            case _:  # the end of the job; the answer is still to be sent
                pass

    def end(self, *, status: int, code: str | None, at_fault: bool, model: str | None) -> None:
        """The last byte is sent, or nobody is there any more.

        ``code`` is of the error, if there was one, and ``at_fault`` whether it was the server's.
        """
        at = now()
        if self._ran is not None:
            self._add("answer", self._ran, at, {}, always=True)
        self._span.set_attribute("http.response.status_code", status)
        if model is not None:
            self._span.set_attribute("laps.model", model)
        if code is not None:
            self._span.set_attribute("error.type", code)
        if at_fault:
            self._span.set_status(Status(StatusCode.ERROR, code))
        if self._stages > _MAX_STAGES:
            self._span.set_attribute("laps.stages_left_out", self._stages - _MAX_STAGES)
        self._span.end(self._ns(at))

    def _add(
        self, name: str, began: float, ended: float, attributes: Mapping[str, int], *, always: bool = False
    ) -> None:
        self._stages += not always
        if always or self._stages <= _MAX_STAGES:
            span = self._tracer.start_span(name, self._context, attributes=attributes, start_time=self._ns(began))
            span.end(self._ns(ended))

    def _ns(self, at: float) -> int:
        return self._began_ns + round((at - self._began) * _NS)


class Traces:
    """Begins the spans of requests, and exports them."""

    def __init__(self) -> None:
        """The exporter's thread starts here; nothing global of OpenTelemetry is touched."""
        own = Resource({"service.name": "laps-server", "service.version": __version__})
        self._provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(__name__, __version__)

    def begin(self, headers: Mapping[str, str], *, method: str, route: str, request_id: str) -> RequestTrace:
        """A request is here: a child of the span that its headers name, if they do."""
        began_ns = wall_ns()
        span = self._tracer.start_span(
            f"{method} {route}",
            _W3C.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route, "laps.request_id": request_id},
            start_time=began_ns,
        )
        return RequestTrace(self._tracer, span=span, began_ns=began_ns)

    def close(self) -> None:
        """Export what is left, for a few seconds at most: a collector that is away must not hold up the end."""
        # The SDK's own shutdown waits for the request that is under way, however long that is retried.
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)
