"""From a question about stored runs to its answer: selection, data, comparability, ranking, costs."""
