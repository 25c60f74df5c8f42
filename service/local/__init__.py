"""Saddle on one machine: embedded Postgres and Valkey, the API and the workers."""
