"""Saddle over HTTP: `Client` for Python, `saddle` for the terminal."""

from service.client.client import Client
from service.client.errors import ClientError, Refused, Unreachable, Unusable
from service.client.following import Event

__all__ = ["Client", "ClientError", "Event", "Refused", "Unreachable", "Unusable"]
