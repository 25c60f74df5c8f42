"""The side that trains: a process with torch, a pipe and no credentials."""
