"""Routes of people: accounts, members, sessions, keys, quotas, the audit and what is told to them."""
