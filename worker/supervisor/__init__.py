"""The worker's side that talks to Postgres: claims runs, holds leases, writes results. Imports no torch."""
