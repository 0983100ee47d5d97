"""Tables and migrations agree."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from yuqing.database import session, upgrade
from yuqing.database.models import Base
from yuqing.settings import load_settings

pytestmark = pytest.mark.service


def test_the_migrations_make_the_tables_of_the_models(database: Engine) -> None:
    def ours(_object: object, name: str | None, kind: str, _reflected: bool, _compare: object) -> bool:
        return not (kind == "table" and (name or "").startswith(("procrastinate_", "alembic_")))

    with session.transaction(database) as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, Base.metadata) == []
        assert upgrade.current(connection) == upgrade.latest()


def test_upgrading_again_changes_nothing(database_url: str) -> None:
    assert upgrade.upgrade(database_url) == upgrade.latest()


def test_vectors_and_bigrams_are_to_be_had(database: Engine) -> None:
    with session.transaction(database) as connection:
        found = connection.execute(text("SELECT array_to_tsvector(ARRAY['舆情']) @@ '舆情'::tsquery")).scalar_one()
        names = connection.execute(text("SELECT name FROM pg_available_extensions")).scalars().all()
    assert found
    assert "vector" in names


def test_a_release_waits_for_its_tables(database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upgrade.wait_for_latest(database_url, 0) == upgrade.latest()
    monkeypatch.setattr(upgrade, "_POLL_S", 0.01)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(upgrade.NotUpgraded, match=f"at revision 0001, this release needs {upgrade.latest()}"):
        upgrade.wait_for_latest(database_url, 0.03)
    with database.begin() as connection:  # a later release's, which leaves this one working
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert upgrade.wait_for_latest(database_url, 0) == "9999"
    with pytest.raises(upgrade.NotUpgraded, match="does not answer"):
        upgrade.wait_for_latest("postgresql://u:hush@127.0.0.1:9/x", 0)


def test_a_database_that_is_away_is_said_without_its_password() -> None:
    settings = load_settings(database={"url": "postgresql://u:hush@127.0.0.1:9/x"})
    with pytest.raises(session.DatabaseAway) as away, session.transaction(session.engine(settings)):
        pass
    assert "does not answer" in away.value.message
    assert "yuqing up" in away.value.cure
    assert "hush" not in str(away.value)


def test_the_command_says_so_without_a_traceback(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "yuqing", "db", "upgrade"],
        env=environment | {"YUQING_DATABASE__URL": "postgresql://u:hush@127.0.0.1:9/x"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr
    assert "->" in done.stderr
