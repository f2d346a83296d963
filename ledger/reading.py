"""Reading past the object mapper, by statements that are built once: what is asked before and after every order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, CursorResult, Executable, Table
from sqlalchemy.orm import ClassManager, class_mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, SQLModel

Row = TypeVar("Row", bound=SQLModel)


def read_columns(session: Session, query: Executable, **values: Any) -> CursorResult[Any]:
    """Run a query of columns in the session's transaction; what the session still holds back is written first."""
    session.flush()
    return session.connection().execute(query, values)


def read_rows(session: Session, model: type[Row], query: Executable, **values: Any) -> list[Row]:
    """The rows of a statement that gives all columns of the model's table, in the table's order.

    A row that the session holds is brought up to date; any other belongs to no session, so that changing it writes
    nothing. That suits what moves by compare-and-set or never, and takes a third of the time.
    """
    return _rows(session, model, read_columns(session, query, **values))


def table_of(model: type[SQLModel]) -> Table:
    table: Table = model.__table__  # type: ignore[attr-defined]
    return table


class _Shape(NamedTuple):
    manager: ClassManager[Any]
    names: tuple[str, ...]
    key: tuple[int, ...]  # which of them are the primary key


@lru_cache(maxsize=64)
def _shape(model: type[SQLModel]) -> _Shape:
    mapper = class_mapper(model)
    columns: list[ColumnElement[Any]] = list(table_of(model).c)
    names = tuple(mapper.get_property_by_column(column).key for column in table_of(model).c)
    return _Shape(mapper.class_manager, names, tuple(columns.index(column) for column in mapper.primary_key))


def _rows(session: Session, model: type[Row], found: Iterable[Any]) -> list[Row]:
    shape, held = _shape(model), session.identity_map
    rows = []
    for values in found:
        row = None
        if held:
            key = tuple(values[place] for place in shape.key)
            row = held.get(shape.manager.mapper.identity_key_from_primary_key(key))
        if row is None:
            row = shape.manager.new_instance()
            row.__dict__.update(zip(shape.names, values, strict=True))
        else:
            for name, value in zip(shape.names, values, strict=True):
                set_committed_value(row, name, value)
        rows.append(row)
    return rows
