"""Traces (OpenTelemetry), where `OTEL_EXPORTER_OTLP_ENDPOINT` names a receiver; elsewhere nothing of it is imported.

A trace goes on from the request to the attempts of its runs: a run's row holds the request's trace context.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any

from service.errors import SaddleError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Value = str | int | float
_NOTHING: AbstractContextManager[None] = nullcontext()
_sdk: Any = None  # the module service.tracing_export, where there are traces
_provider: "TracerProvider | None" = None


class NoTelemetry(SaddleError):
    """The packages are not installed."""

    code, title = "no_telemetry", "Telemetry is not installed"


def start(service: str) -> "TracerProvider | None":
    """Send the spans of this process to the receiver that the environment names; None if it names none."""
    global _sdk, _provider  # one for the process, as its environment is
    if _provider is None and any(os.environ.get(name) for name in ENDPOINTS):
        _sdk = _import_sdk()
        _provider = _sdk.make_provider(os.environ.get("OTEL_SERVICE_NAME") or service)
    return _provider


def _import_sdk() -> ModuleType:
    try:
        from service import tracing_export  # noqa: PLC0415  slow, and its packages are optional
    except ImportError as error:
        what = f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name} is missing: pip install 'saddle[telemetry]'"
        raise NoTelemetry(what) from error
    return tracing_export


def stop() -> None:
    """Send what has not been sent; waits a moment for a receiver that does not answer."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
        _provider = None


def span(name: str, **attributes: Value | None) -> AbstractContextManager[Any]:
    """Make a span of what the block does, within the span around it."""
    if _provider is None:
        return _NOTHING
    return _provider.get_tracer("saddle").start_as_current_span(name, attributes=_named(attributes))


def note(**attributes: Value | None) -> None:
    """Add attributes to the span around the caller."""
    if _provider is not None:
        _sdk.current_span().set_attributes(_named(attributes))


def traceparent() -> str | None:
    """Return the context of the span around the caller as a W3C traceparent; None without one."""
    found: str | None = _sdk.traceparent_of(_sdk.current_span()) if _provider is not None else None
    return found


class LongSpan:
    """A span from its making to `end`, within the one that `parent` names; nothing where there are no traces."""

    def __init__(
        self, name: str, parent: str | None, attributes: Mapping[str, Value | None], began_ns: int | None = None
    ) -> None:
        self.traceparent, self._span = parent, None
        if _provider is not None:
            tracer, context = _provider.get_tracer("saddle"), _sdk.context_of(parent)
            self._span = tracer.start_span(name, context, attributes=_named(attributes), start_time=began_ns)
            self.traceparent = _sdk.traceparent_of(self._span)

    def end(self, error: str | None = None, **attributes: Value | None) -> None:
        """End it, once; `error` says why it failed."""
        if self._span is None:
            return
        self._span.set_attributes(_named(attributes))
        if error is not None:
            _sdk.set_error(self._span, error)
        self._span.end()
        self._span = None


def _named(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {f"saddle.{name}": value for name, value in attributes.items() if value is not None}
