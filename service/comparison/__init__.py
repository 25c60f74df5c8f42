"""From a question about stored runs to its answer: selection, evidence, comparability, ranking, costs."""
