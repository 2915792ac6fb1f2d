"""Alembic's entry: migrate over the connection that is handed in, inside the transaction it is in."""

from alembic import context

from mars_engine.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
