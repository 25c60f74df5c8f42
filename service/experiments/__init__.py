"""From a posted document to stored experiments, and from stored ones to answers."""
