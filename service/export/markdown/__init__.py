"""Answers as short markdown, for people and assistants: numbers, ids, and text of users marked as data."""
