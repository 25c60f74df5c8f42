"""Why a run learned or did not: rules over the recorded data. A finding has evidence, a patch and a test of it."""
