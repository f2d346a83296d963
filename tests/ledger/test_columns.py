"""Money comes back as it went in, on SQLite and on PostgreSQL; what cannot is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy.exc import StatementError

from ledger.columns import PRECISION_MAX, SCALE_MAX, ExactDecimal, UtcDateTime, canonical, derived

INTEGER_DIGITS = PRECISION_MAX - SCALE_MAX
amounts = Table(
    "round_trip",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("amount", ExactDecimal),
    Column("at", UtcDateTime),
)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('columns') / 'amounts.db'}"
    else:
        cluster = request.getfixturevalue("postgres_cluster")
        cluster.execute("CREATE DATABASE round_trip")
        url = cluster.url("round_trip")
    engine = create_engine(url)
    amounts.create(engine)
    yield engine
    engine.dispose()


def round_trip(engine: Engine, column: str, values: list[Any]) -> list[Any]:
    with engine.connect() as connection:  # never committed: each example starts from nothing
        connection.execute(insert(amounts), [{"number": n, column: value} for n, value in enumerate(values)])
        return list(connection.scalars(select(amounts.c[column]).order_by(amounts.c.number)))


@st.composite
def storable(draw: st.DrawFn) -> Decimal:
    """Any decimal of at most 20 digits before and 18 after the point, in any of its written forms."""
    scale = draw(st.integers(0, SCALE_MAX))
    digits = draw(st.integers(0, 10 ** (INTEGER_DIGITS + scale) - 1))
    with localcontext(prec=100):
        value = Decimal(digits).scaleb(-scale) * draw(st.sampled_from([1, -1]))
        zeros = draw(st.integers(0, 3))
        return value.quantize(Decimal(1).scaleb(-scale - zeros)) if draw(st.booleans()) else value


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.lists(storable(), min_size=1, max_size=200))
@example(values=[Decimal("12345678.123456789012345678"), Decimal("-0"), Decimal("1E+19"), Decimal("1E-18")])
@example(values=[Decimal("9" * 20 + "." + "9" * 18), Decimal("-" + "9" * 20 + "." + "9" * 18)])
def test_every_storable_amount_comes_back_equal(engine: Engine, values: list[Decimal]) -> None:
    found = round_trip(engine, "amount", values)
    assert found == values
    assert [value.as_tuple() for value in found] == [canonical(value).as_tuple() for value in values]


@pytest.mark.parametrize(
    ("value", "error", "names"),
    [
        (1.5, TypeError, "must be a Decimal, was float"),
        (3, TypeError, "must be a Decimal, was int"),
        (Decimal("NaN"), ValueError, "must be finite"),
        (Decimal("sNaN"), ValueError, "must be finite"),
        (Decimal("-Infinity"), ValueError, "must be finite"),
        (Decimal("1E-19"), ValueError, "at most 18 decimal places"),
        (Decimal("1E+20"), ValueError, "at most 20 digits before the point"),
        (Decimal("1E+1000000"), ValueError, "at most 20 digits before the point"),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused(
    engine: Engine, value: object, error: type[Exception], names: str
) -> None:
    with pytest.raises((error, StatementError), match=names):
        round_trip(engine, "amount", [value])


def instants() -> st.SearchStrategy[datetime]:
    """Any time that has a UTC form, in any zone."""
    return st.datetimes(
        min_value=datetime(1, 1, 3),  # noqa: DTZ001
        max_value=datetime(9999, 12, 29),  # noqa: DTZ001
        timezones=st.timezones(),
    )


@settings(max_examples=50, deadline=None)
@given(values=st.lists(instants(), min_size=1, max_size=50))
def test_every_instant_comes_back_equal_and_in_utc(engine: Engine, values: list[datetime]) -> None:
    given_times = [*values, datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))]
    found = round_trip(engine, "at", given_times)
    assert [value.astimezone(UTC) for value in given_times] == found
    assert {value.tzinfo for value in found} == {UTC}


def test_a_naive_time_is_refused(engine: Engine) -> None:
    with pytest.raises(StatementError, match="must be aware UTC, was naive"):
        round_trip(engine, "at", [datetime(2026, 1, 1)])  # noqa: DTZ001


def test_nothing_stays_nothing(engine: Engine) -> None:
    assert round_trip(engine, "amount", [None]) == [None]
    assert round_trip(engine, "at", [None]) == [None]


@given(value=st.decimals(allow_nan=False, allow_infinity=False, places=30, min_value=-(10**15), max_value=10**15))
def test_derived_figures_are_rounded_by_less_than_a_step(value: Decimal) -> None:
    rounded = derived(value)
    assert rounded is not None
    with localcontext(prec=100):
        assert abs(rounded - value) <= Decimal("0.5e-18")
    assert derived(rounded) == rounded


def test_derived_leaves_nothing_and_nonsense_alone() -> None:
    assert derived(None) is None
    nonsense = derived(Decimal("NaN"))
    assert nonsense is not None and nonsense.is_nan()  # refused later, by the column
