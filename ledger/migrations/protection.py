"""Triggers that keep a table of evidence append-only, on either database."""

from __future__ import annotations

from alembic import op

REFUSAL = "is append-only evidence: add a correcting row with a reason instead"
_VERBS = {"sqlite": ("UPDATE", "DELETE"), "postgresql": ("UPDATE", "DELETE", "TRUNCATE")}


def protect(table: str) -> None:
    """Refuse every change and deletion of its rows."""
    dialect = op.get_bind().dialect.name
    for verb in _VERBS[dialect]:
        op.execute(_trigger(dialect, table, verb))


def unprotect(table: str) -> None:
    """Take the triggers away, to change the table in a migration."""
    dialect = op.get_bind().dialect.name
    for verb in _VERBS[dialect]:
        on = f" ON {table}" if dialect == "postgresql" else ""
        op.execute(f"DROP TRIGGER {table}_no_{verb.lower()}{on}")


def _trigger(dialect: str, table: str, verb: str) -> str:
    if dialect == "sqlite":
        return (
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{verb} refused: {table} {REFUSAL}'); END"
        )
    level = "STATEMENT" if verb == "TRUNCATE" else "ROW"
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"FOR EACH {level} EXECUTE FUNCTION ledger_refuse_change()"
    )
