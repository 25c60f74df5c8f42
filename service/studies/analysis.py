"""The analysis of a study as it is sent: its duel, times to targets, and the importance of its dimensions."""

from service.db.access.principal import Principal
from service.db.session import Connection
from service.db.studies import studies, trials
from service.db.studies.trials import StoredTrial
from service.nonfinite import dumps
from service.schemas.studies.analysis import BorderView, DuellistView, ImportanceView, ProfileView, StudyAnalysis
from service.spec.studies.dimensions import Choice
from service.spec.studies.study import Study
from service.studies import duels
from service.studies.answers import interval
from service.studies.duels import Contestant
from service.studies.importance import importances
from service.studies.stored import study_of, trials_of

KEPT = 64  # studies
State = tuple[str, trials.Revision]  # the document and the trials: an analysis depends on nothing else
_kept: dict[str, tuple[State, StudyAnalysis]] = {}


def analyse_study(connection: Connection, principal: Principal, study_id: str) -> StudyAnalysis:
    """Return what the trials of a study say together; it is computed again where one of them has changed."""
    stored = studies.get(connection, principal, study_id)
    # the revision is read before the trials: what is kept may be newer than it says, and is never older
    state = dumps(stored.document), trials.revision(connection, stored.id)
    kept, found = _kept.pop(stored.id, (None, None))
    if found is None or kept != state:
        found = _analyse(study_of(stored), trials.all_of(connection, stored.id))
    _kept[stored.id] = state, found
    for oldest in list(_kept)[:-KEPT]:  # in one step, since requests run in threads
        _kept.pop(oldest, None)
    return found


def _analyse(study: Study, found: list[StoredTrial]) -> StudyAnalysis:
    own = trials_of(found)
    contestants = duels.judge(study, own)
    rungs = {trial.number: trial.rung_steps for trial in found}
    fewest = duels.fewest_steps(study, own, rungs, {trial.number: trial.total_steps for trial in found})
    by_number = {trial.number: trial for trial in found}
    return StudyAnalysis(
        even=duels.even(contestants),
        contestants=[_view(study, each, by_number) for each in contestants],
        targets=duels.targets(study, own),
        steps_to_target=fewest,
        profile=[ProfileView(ratio=each.ratio, shares=list(each.shares)) for each in duels.profile(fewest)],
        importance=[ImportanceView.of(each) for each in importances(study, own)],
    )


def _view(study: Study, contestant: Contestant, by_number: dict[int, StoredTrial]) -> DuellistView:
    best = None if contestant.best is None else by_number[contestant.best.number]
    return DuellistView.of(
        contestant,
        values=dict(contestant.values),
        label=_label(study, contestant),
        best=None if best is None else best.number,
        best_value=None if best is None else best.value,
        interval=None if best is None else interval([value for value in best.seed_values if value is not None]),
        borders=[BorderView.of(each) for each in contestant.borders],
    )


def _label(study: Study, contestant: Contestant) -> str:
    """Return the names of its options; of a study that compares nothing its own."""
    labels = []
    for pointer, value in contestant.values.items():
        choice = study.space[pointer]
        assert isinstance(choice, Choice)
        at = choice.position(value)
        assert at is not None
        labels.append(choice.options[at].label)
    return ", ".join(labels) or study.name
