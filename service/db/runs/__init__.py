"""SQL about runs: queue, leases, endings, the reaper, desired states, derived runs, workers, probe readings."""
