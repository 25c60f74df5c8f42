"""What is allowed in a study and probably not meant."""

from collections.abc import Iterator

from service.errors import Problem
from service.spec.experiment import Experiment
from service.spec.studies.study import Study
from service.spec.studies.trying import TriedSpace


def find_warnings(study: Study, spec: Experiment, tried: TriedSpace) -> Iterator[Problem]:
    """Yield warnings, with pointers into the study's document."""
    yield from ()
