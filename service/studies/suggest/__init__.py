"""The next point of a study: a pure function of its seed, the trial's number and the trials told so far.

Nothing is remembered between two calls but what can be computed again, so any process may ask, and a study can be
replayed from its rows.
"""

from service.studies.suggest.ask import ask

__all__ = ["ask"]
