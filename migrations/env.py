"""Runs the migrations on the connection that `watchdog.store.migrate` hands over.

There is no alembic.ini: the transaction, the copy made beforehand and the database's name are the
caller's, so that a migration is either whole or has not happened.
"""

from alembic import context

from watchdog.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table in place
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
