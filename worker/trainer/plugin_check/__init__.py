"""The check of a plug-in's package: what its classes lack, and short trainings with each of its components."""
