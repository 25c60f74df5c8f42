"""What an experiment is: pydantic and the standard library, nothing else."""
