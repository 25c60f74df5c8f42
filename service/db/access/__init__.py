"""SQL about who may do what: projects, members, keys."""
