"""What of OpenTelemetry's SDK traces need; imported only where there is a receiver."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

FORMAT = TraceContextTextMapPropagator()
EXPORT_S = 2.0  # an export may take; it delays nothing but the process's end


class WithoutQueries(SpanProcessor):
    """Takes the query out of the spans of requests: it may hold what somebody pasted."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Overwrite the attribute that FastAPI sets."""
        if span.attributes and "url.query" in span.attributes:
            span.set_attribute("url.query", "")

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing."""


class Exporting(BatchSpanProcessor):
    """Sends spans in the background, and at the end for no longer than one export takes."""

    def shutdown(self) -> None:
        """Send what is left."""
        self._batch_processor.shutdown(timeout_millis=int(EXPORT_S * 1000))


def make_provider(service: str) -> TracerProvider:
    """Return a provider whose spans go to where the environment says."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(WithoutQueries())
    provider.add_span_processor(Exporting(OTLPSpanExporter(timeout=EXPORT_S), schedule_delay_millis=1000))
    return provider


def context_of(traceparent: str | None) -> Context | None:
    """Return the context that a traceparent names; None: that of the caller."""
    return None if traceparent is None else FORMAT.extract({"traceparent": traceparent}, Context())


def traceparent_of(span: trace.Span) -> str | None:
    """Return a span's own context as a traceparent; None if it has none."""
    carrier: dict[str, str] = {}
    FORMAT.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def current_span() -> trace.Span:
    """Return the span around the caller."""
    return trace.get_current_span()


def set_error(span: trace.Span, why: str) -> None:
    """Mark a span as failed."""
    span.set_status(trace.StatusCode.ERROR, why)
