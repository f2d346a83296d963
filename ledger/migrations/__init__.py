"""Alembic revisions of the ledger, packaged and run by `ledger.engine.Ledger.open`."""
