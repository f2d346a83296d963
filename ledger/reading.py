"""Reading columns past the object mapper, by statements that are built once: what is asked before every order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlmodel import Session


def read_columns(session: Session, query: Executable, **values: Any) -> CursorResult[*tuple[Any, ...]]:
    """Run a query of columns in the session's transaction; what the session still holds back is written first."""
    session.flush()
    return session.connection().execute(query, values)
