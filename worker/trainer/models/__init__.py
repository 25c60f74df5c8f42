"""The models of the spec, in torch: one module per family."""
