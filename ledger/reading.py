"""Asking past the object mapper, by statements that are built once: what is asked before and after every order.

A statement is compiled once per database; from then on its text and parameters go to the driver as they are, in the
transaction of the session, and what comes back goes through the types of its columns alone. Each statement of an order
takes a quarter of the processor time so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Dialect, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ClassManager, class_mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, SQLModel

Row = TypeVar("Row", bound=SQLModel)


def read_columns(session: Session, query: Any, **values: Any) -> list[tuple[Any, ...]]:
    """Run a statement in the session's transaction; what the session still holds back is written first.

    `query` is a statement that is kept (every one is compiled once), `values` are all of its parameters; a list is one
    of an `expanding` parameter and may not be empty. Errors are SQLAlchemy's.
    """
    session.flush()
    connection = connection_of(session)
    return _prepared(connection, query, values).run(connection, values)


def connection_of(session: Session) -> Connection:
    """What a session of the ledger is bound to: its transaction has begun."""
    connection = session.bind
    assert isinstance(connection, Connection), "a session of ledger.read() or ledger.write() is bound to a connection"
    return connection


def read_rows(session: Session, model: type[Row], query: Any, **values: Any) -> list[Row]:
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


# -- prepared statements ----------------------------------------------------------------------------------------
Processor = Callable[[Any], Any]


@dataclass(slots=True)
class _Prepared:
    """One statement as one database takes it. `given` and `lists` say under which names the values go."""

    text: str
    names: Sequence[str]
    is_positional: bool
    constants: Mapping[str, Any]
    lists: Mapping[str, Sequence[str]]
    to_database: Mapping[str, Processor]
    columns: Sequence[Any]
    from_database: list[tuple[int, Processor]] | None = field(default=None)  # by place; known with the first answer

    def run(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of the answer; none of a statement that names no columns."""
        driver: Any = connection.connection.dbapi_connection
        try:
            cursor = driver.execute(self.text, self._parameters(values))
            rows: list[tuple[Any, ...]] = cursor.fetchall() if self.columns else []
        except _errors(connection) as error:
            raise as_ever(connection, self.text, error) from error
        if not rows:
            return rows
        if self.from_database is None:
            self.from_database = self._read_types(connection, cursor.description)
        if not self.from_database:
            return rows
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for place, processor in self.from_database:
            columns[place] = map(processor, columns[place])
        return list(zip(*columns, strict=True))

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        given = {**self.constants, **values}
        for name, expanded in self.lists.items():
            given.update(zip(expanded, given.pop(name), strict=True))
        for name, processor in self.to_database.items():
            given[name] = processor(given[name])
        return [given[name] for name in self.names] if self.is_positional else given

    def _read_types(self, connection: Connection, description: Sequence[Any]) -> list[tuple[int, Processor]]:
        assert len(description) == len(self.columns)
        found = [
            (place, column.type.dialect_impl(connection.dialect).result_processor(connection.dialect, described[1]))
            for place, (column, described) in enumerate(zip(self.columns, description, strict=True))
        ]
        return [(place, processor) for place, processor in found if processor is not None]


_PREPARED: dict[tuple[Any, str, tuple[int, ...]], _Prepared] = {}


def _prepared(connection: Connection, query: Any, values: Mapping[str, Any]) -> _Prepared:
    lengths = tuple([len(value) for value in values.values() if isinstance(value, list)])
    key = (query, connection.dialect.name, lengths)
    found = _PREPARED.get(key)
    if found is None:
        found = _PREPARED[key] = _prepare(connection, query, values)
    return found


def _prepare(connection: Connection, query: Any, values: Mapping[str, Any]) -> _Prepared:
    compiled = query.compile(dialect=connection.dialect, column_keys=list(values))
    state = compiled.construct_expanded_state(dict(values))
    lists = {name: state.parameter_expansion[name] for name, value in values.items() if isinstance(value, list)}
    varying = {*values, *(name for names in lists.values() for name in names)}
    own = {name: _into(bound.type, connection.dialect) for name, bound in compiled.binds.items()}
    processors = {
        name: processor
        for name, processor in {**own, **state.processors}.items()
        if processor is not None and name in state.parameters
    }
    constants = {
        name: processors[name](value) if name in processors else value
        for name, value in state.parameters.items()
        if name not in varying
    }
    return _Prepared(
        text=state.statement,
        names=state.positiontup or (),
        is_positional=compiled.positional,
        constants=constants,
        lists=lists,
        to_database={name: processor for name, processor in processors.items() if name not in constants},
        columns=list(query.exported_columns),
    )


def _into(type_: Any, dialect: Dialect) -> Processor | None:
    processor: Processor | None = type_.dialect_impl(dialect).bind_processor(dialect)
    return processor


def _errors(connection: Connection) -> Any:
    return connection.dialect.loaded_dbapi.Error


def as_ever(connection: Connection, text: str, error: Any) -> BaseException:
    """What SQLAlchemy makes of a driver's error, and does with a connection that is lost; without the parameters."""
    is_lost = connection.dialect.is_disconnect(error, connection.connection, None)
    wrapped: BaseException = DBAPIError.instance(
        text,
        None,
        error,
        _errors(connection),
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=connection.dialect,
    )
    if is_lost:
        connection.invalidate(error)
    return wrapped
