"""SQL about experiments and what is stored beside them: lists, filters, datasets, comparisons."""
