"""The operator's half of administration, which needs the machine: backup, restore, gc, doctor."""
