"""Trying the remedy of a finding, and judging whether it helped; judging replays."""
