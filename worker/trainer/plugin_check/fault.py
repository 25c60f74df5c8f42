"""What is wrong with a component."""


class Fault(Exception):
    """What is wrong with a component, as a predicate."""
