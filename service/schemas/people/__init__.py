"""People: accounts, members, sessions, keys, quotas, the audit, channels, comments and shares."""
