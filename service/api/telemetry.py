"""FastAPI's own telemetry: durations of requests for Prometheus, and spans; only where a setting asks for it."""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from service import tracing
from service.process.runtime import Runtime
from service.settings import Settings

if TYPE_CHECKING:
    from service.process.monitoring import Monitoring

SILENT = ("/v1/livez", "/v1/readyz", "/metrics")  # asked all the time, by programs


def telemetry_of(settings: Settings) -> tuple[TelemetryConfig, Any]:
    """Return the configuration, and the registry of the durations; None without metrics."""
    tracer = tracing.start("saddle-api")
    config: TelemetryConfig = {"tracing": tracer is not None, "metrics": settings.metrics, "logs": False}
    config |= {"operation_spans": False, "auto_configure": False, "exclude": _is_silent}
    if tracer is not None:
        config["tracer_provider"] = tracer
    registry = None
    if settings.metrics:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415  slow, and optional
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
        from prometheus_client import CollectorRegistry  # noqa: PLC0415

        registry = CollectorRegistry()
        reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=registry)
        config["meter_provider"] = MeterProvider([reader], shutdown_on_exit=False)
    return config, registry


def monitoring_of(runtime: Runtime) -> "Monitoring | None":
    """Return what reads the other figures; None without metrics."""
    if not runtime.settings.metrics:
        return None
    from service.process.monitoring import Monitoring  # noqa: PLC0415  its packages are optional

    return Monitoring(runtime)


def http_metrics(app: FastAPI) -> bytes:
    """Return the durations and numbers of requests in Prometheus's text format."""
    from prometheus_client import generate_latest  # noqa: PLC0415

    return generate_latest(app.state.http_metrics)


def _is_silent(scope: MutableMapping[str, Any]) -> bool:
    return scope["type"] != "http" or scope["path"] in SILENT
