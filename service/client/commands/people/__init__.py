"""Commands about people and the server: members, keys, projects, messages, the audit, administration."""
