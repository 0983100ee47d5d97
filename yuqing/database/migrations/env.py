"""Alembic's entry: runs on the connection that yuqing.database.upgrade hands over."""

from alembic import context

from yuqing.database.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
