"""What all tables share: the naming of constraints, and two kinds of column."""

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text, func

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def word(name: str, *rest: Any, **options: Any) -> Column[str]:
    """A text column ordered by bytes, so that ids sort the same in every database."""
    return Column(name, Text(collation="C"), *rest, nullable=options.pop("nullable", False), **options)


def now(name: str) -> Column[Any]:
    """A time that is the moment of the insert where none is given."""
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())
