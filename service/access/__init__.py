"""Who may do what: one rule for each operation, and the decision it leads to."""
