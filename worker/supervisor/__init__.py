"""The side that talks to Postgres: claims runs, holds leases, writes what trainers say. Imports no torch."""
