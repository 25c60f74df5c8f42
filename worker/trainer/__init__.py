"""The worker's side that trains: a process with torch and a pipe, without credentials."""
