"""A person's side of Saddle over HTTP: `Client` for Python, `saddle` for the terminal. Knows no rows and no torch."""

from service.client.client import Client
from service.client.errors import ClientError, Refused, Unreachable, Unusable
from service.client.following import Event

__all__ = ["Client", "ClientError", "Event", "Refused", "Unreachable", "Unusable"]
