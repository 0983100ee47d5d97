"""The demonstration's team and its companies, in the database and on S3."""

from sqlalchemy import Connection, Engine, text

from examples.newsroom.watchlist import read_watchlist
from yuqing import watchlist
from yuqing.database import session
from yuqing.objects import ObjectStore

TEAM = "demo"


def _team(connection: Connection) -> int:
    connection.execute(text("INSERT INTO teams (name) VALUES (:name) ON CONFLICT (name) DO NOTHING"), {"name": TEAM})
    return int(connection.execute(text("SELECT id FROM teams WHERE name = :name"), {"name": TEAM}).scalar_one())


def watch_companies(pool: Engine, store: ObjectStore) -> int:
    """Put the companies of watchlist.yaml on the team's watchlist, once; returns how many the watchlist has.

    Companies that an analyst has changed since stay as they are. Raises DatabaseAway, ObjectStoreError.
    """
    with session.transaction(pool) as connection:
        team = _team(connection)
        for company in read_watchlist():
            connection.execute(
                text(
                    "INSERT INTO companies (team_id, name, aliases, exclude_words) "
                    "VALUES (:team, :name, :aliases, :exclude_words) ON CONFLICT (team_id, name) DO NOTHING"
                ),
                {
                    "team": team,
                    "name": company.name,
                    "aliases": list(company.aliases),
                    "exclude_words": list(company.exclude_words),
                },
            )
    with session.transaction(pool) as connection:
        return len(watchlist.publish(connection, store))
