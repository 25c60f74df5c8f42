"""Runs migrations against the database that the caller, or SADDLE_DATABASE_URL, names."""

from alembic import context
from sqlalchemy import create_engine, pool

from service.db.tables import metadata
from service.settings import settings

url = context.config.attributes.get("url") or settings().database_url
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()
