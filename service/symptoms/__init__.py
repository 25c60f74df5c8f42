"""The symptom library: broken and healthy trainings with the right diagnosis, to teach and to evaluate the rules."""
