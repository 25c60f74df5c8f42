"""From bytes to an experiment: strict reading, presets, aliases, defaults, patches, and errors worth reading."""
