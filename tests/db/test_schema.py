"""Tables and migrations tell the same story, and nothing starts on another schema."""

import pytest
from alembic import command
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.experiments import deletion, experiments
from service.db.runs import desired_state
from service.db.runs.runs import all_of_experiments
from service.db.session import alembic_config, check_schema, transaction
from service.errors import SchemaMismatch
from service.nonfinite import dumps
from service.spec.experiment import Experiment
from service.spec.parse.presets import presets


def test_alembic_sees_no_difference_between_tables_and_migrations(engine: Engine, database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_the_newest_schema_is_accepted_and_another_refused_with_the_remedy(engine: Engine) -> None:
    check_schema(engine)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(SchemaMismatch, match=r"service\.db upgrade"):
        check_schema(engine)


def test_rows_of_before_the_pools_were_named_go_on(engine: Engine, database_url: str, principal: Principal) -> None:
    base = next(iter(presets().values())).normalised()
    changes = {
        ("schedulefree",): {"optimizer": {"kind": "schedule_free_sgd"}},
        ("pytorch-optimizer",): {"optimizer": {"kind": "lion"}},
        ("c++",): {"compile": True},
        (): {},
    }
    specs = {needs: Experiment.model_validate_json(dumps(base | each)) for needs, each in changes.items()}
    with transaction(engine) as connection:
        made = {experiments.add(connection, principal, spec, "cpu").id: list(needs) for needs, spec in specs.items()}
    command.downgrade(alembic_config(database_url), "0014")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE run SET pool = 'cuda'"))
    command.upgrade(alembic_config(database_url), "head")
    with transaction(engine) as connection:
        found = {run.experiment_id: (run.pool, run.needs) for run in all_of_experiments(connection, list(made))}
    assert found == {experiment_id: ("gpu", needs) for experiment_id, needs in made.items()}


def test_every_migration_can_be_undone(engine: Engine, database_url: str, principal: Principal) -> None:
    spec = next(iter(presets().values()))
    with transaction(engine) as connection:
        erased = experiments.add(connection, principal, spec, "cpu").id
        for run in all_of_experiments(connection, [erased]):
            desired_state.cancel(connection, principal, run.id)
        deletion.erase(connection, principal, erased)
    command.downgrade(alembic_config(database_url), "base")
    command.upgrade(alembic_config(database_url), "head")
    check_schema(engine)
