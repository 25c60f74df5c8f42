"""Why a run learned or did not: rules over what was recorded, each finding with evidence, a patch and a way to tell."""
