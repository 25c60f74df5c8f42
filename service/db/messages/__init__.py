"""Channels, the outbox of messages to them, and the events that messages tell."""
