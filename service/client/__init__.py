"""The third reader of the spec, over HTTP: a client and the `saddle` command."""
