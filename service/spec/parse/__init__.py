"""From bytes to an experiment: strict JSON, presets, names of other libraries, defaults, patches and forks."""
