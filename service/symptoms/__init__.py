"""The symptom library: broken and healthy trainings with their right diagnoses, to teach and to test the rules."""
