"""Whether the data of a run can be learned: fresh trainings beside it, short and bounded."""
