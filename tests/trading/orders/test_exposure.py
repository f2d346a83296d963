"""From readings and intents to the exposure that is counted, and the odd corners of the desk's readings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.errors import AnswerTimedOut, InstrumentUnknown
from brokers.ids import InstrumentId
from brokers.types import (
    Balance,
    Fill,
    Instrument,
    LiquiditySide,
    OrderSide,
    Position,
    PositionMode,
    PositionSide,
    ProductKind,
)
from ledger.states import IntentState
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import BTC, CLASSES, INSTRUMENT, START, Fault, ModelVenue
from trading.orders.context import AccountReading
from trading.orders.desk import OrderDesk
from trading.orders.exposure import position_of, reserved_notional
from trading.orders.looking import _possible_moves
from trading.orders.spool import Spool, spool_of
from trading.risk import RiskReason

S = IntentState
SPOT = replace(INSTRUMENT, product=ProductKind.SPOT)


def leg(venue: ModelVenue, side: PositionSide, quantity: str, *, instrument_id: InstrumentId = BTC) -> Position:
    return Position(
        account_id=venue.account_id,
        instrument_id=instrument_id,
        side=side,
        quantity=Decimal(quantity),
        average_price=Decimal(50_000),
        mark_price=None,
        unrealised_pnl=None,
        realised_pnl=None,
        leverage=None,
        mode=PositionMode.HEDGE,
        time=START,
    )


def reading(venue: ModelVenue, *positions: Position, base: str | None = None) -> AccountReading:
    balances = None if base is None else (Balance(venue.account_id, "BTC", Decimal(base), None, Decimal(0), START),)
    return AccountReading(START, 0.0, Decimal(1_000), positions, balances)


def test_on_spot_the_position_is_the_base_currency(venue: ModelVenue, want: Want) -> None:
    request = want().request
    assert position_of(reading(venue, base="1.5"), request, SPOT) == Decimal("1.5")
    assert position_of(reading(venue), request, SPOT) is None
    assert position_of(reading(venue), request, None) is None


def test_in_hedge_mode_the_position_is_the_leg(venue: ModelVenue, want: Want) -> None:
    both = reading(venue, leg(venue, PositionSide.LONG, "2"), leg(venue, PositionSide.SHORT, "-3"))
    request = want().request
    assert position_of(both, replace(request, position_side=PositionSide.SHORT), INSTRUMENT) == Decimal(-3)
    assert position_of(both, request, INSTRUMENT) == Decimal(-1)
    assert position_of(replace(both, positions=None), request, INSTRUMENT) is None


def test_only_what_adds_exposure_is_reserved(venue: ModelVenue, want: Want) -> None:
    wanted = want(quantity="1")
    quote = wanted.reference
    assert reserved_notional(wanted.request, INSTRUMENT, quote, Decimal(0)) == Decimal("50000.1")
    assert reserved_notional(wanted.request, INSTRUMENT, quote, Decimal(-1)) == 0
    assert reserved_notional(replace(wanted.request, reduce_only=True), INSTRUMENT, quote, None) == 0
    assert reserved_notional(wanted.request, None, quote, None) == 0


def test_a_position_that_cannot_be_valued_makes_the_account_unreadable(
    desk: OrderDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrument that the venue no longer lists: its contract size is not known."""
    strange = leg(venue, PositionSide.LONG, "1", instrument_id=InstrumentId("OLD/USDT:USDT"))
    monkeypatch.setattr(venue, "positions", lambda: (strange,))
    view = desk.submit(want())
    assert (view.state, view.reason) == (S.DENIED, RiskReason.ACCOUNT_UNREADABLE)
    assert "gross_notional" in view.detail


def test_reads_before_sending_are_asked_again_where_that_may_help(
    desk: OrderDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    original, failures = venue.positions, [AnswerTimedOut("slow"), AnswerTimedOut("slow")]

    def flaky() -> tuple[Position, ...]:
        if failures:
            raise failures.pop()
        return original()

    monkeypatch.setattr(venue, "positions", flaky)
    assert desk.submit(want()).state is S.READY
    assert clock.monotonic() == 1.0


def test_an_instrument_that_cannot_be_read_is_refused(
    desk: OrderDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(ids: object = None) -> tuple[Instrument, ...]:
        raise InstrumentUnknown("not listed")

    monkeypatch.setattr(venue, "instruments", unknown)
    view = desk.submit(want())
    assert (view.state, view.reason) == (S.DENIED, RiskReason.INSTRUMENT_UNKNOWN)


def test_an_instrument_is_read_again_when_it_is_old(
    desk: OrderDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    """A venue changes filters and contract sizes, and takes instruments off its list."""
    ctx = desk._ctx
    assert ctx.instrument(BTC) == INSTRUMENT
    venue.instrument = replace(INSTRUMENT, contract_size=Decimal("0.1"))
    clock.wait(ctx.limits.instrument_age_s_max)
    assert ctx.instrument(BTC) == INSTRUMENT
    clock.wait(1)
    assert ctx.instrument(BTC) == venue.instrument
    venue.instrument = replace(INSTRUMENT, instrument_id=InstrumentId("ETH/USDT:USDT"))
    clock.wait(ctx.limits.instrument_age_s_max + 1)
    assert ctx.instrument(BTC) is None
    assert desk.submit(want()).reason == RiskReason.INSTRUMENT_UNKNOWN


def test_what_was_ordered_is_valued_by_its_contracts_when_nobody_lists_it_any_more(
    make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    venue.instrument = replace(INSTRUMENT, contract_size=Decimal("0.01"))
    assert make_desk().submit(want()).state is S.READY
    venue.instrument = replace(INSTRUMENT, instrument_id=InstrumentId("ETH/USDT:USDT"))
    ctx = make_desk()._ctx  # of another process, which never saw the instrument
    assert ctx.instrument(BTC) is None
    with ctx.ledger.read() as session:
        assert ctx.contract_sizes(session, [str(BTC), "XRP/USDT:USDT"]) == {str(BTC): Decimal("0.01")}


def test_without_a_quote_an_interrupted_intake_is_denied(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    def no_quote(ids: object) -> None:
        raise AnswerTimedOut("no quote")

    monkeypatch.setattr(venue, "margin_health", killed)
    with pytest.raises(KeyboardInterrupt):
        make_desk().submit(want())
    monkeypatch.undo()
    monkeypatch.setattr(venue, "quotes", no_quote)
    assert make_desk().advance(want().intent_id).reason == RiskReason.QUOTE_MISSING


def test_a_spot_order_that_was_lost_is_proved_absent_by_the_balance(
    make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    venue.instrument = SPOT
    venue.order_identity = CLASSES["open only, deadline"]
    venue.script = [Fault.LOST]
    desk = make_desk()
    (view,) = desk.drive([desk.submit(want(ttl_s=60)).intent_id], timeout_s=200)
    assert view.state is S.EXPIRED


def fill(venue: ModelVenue, quantity: str, at_s: float, *, fee: str = "0", currency: str = "USDT") -> Fill:
    venue.clock.wait(0)
    made = ModelVenue(ManualClock(START))
    order = made._accept(made.prepare_order(_request(quantity), _id()), START + timedelta(days=1), at=START)
    assert order is not None
    return replace(
        order.fills[0],
        time=START + timedelta(seconds=at_s),
        fee=Decimal(fee),
        fee_currency=currency,
        liquidity=LiquiditySide.TAKER,
    )


def _request(quantity: str):  # type: ignore[no-untyped-def]
    from brokers.types import OrderRequest, OrderType

    return OrderRequest(BTC, OrderSide.BUY, OrderType.MARKET, Decimal(quantity))


def _id():  # type: ignore[no-untyped-def]
    from brokers.ids import ClientOrderId

    return ClientOrderId("someone")


def test_fills_near_the_reading_may_be_in_it_or_not(venue: ModelVenue) -> None:
    fills = (fill(venue, "1", -10), fill(venue, "2", 1), fill(venue, "4", 30))
    assert _possible_moves(fills, START, "") == {Decimal(4), Decimal(6)}
    assert _possible_moves((), START, "") == {Decimal(0)}
    assert _possible_moves((fill(venue, "1", -10),), START, "") == {Decimal(0), Decimal(1)}


def test_a_fee_in_the_base_currency_moves_the_balance(venue: ModelVenue) -> None:
    bought = fill(venue, "1", 30, fee="0.001", currency="BTC")
    assert _possible_moves((bought,), START, "BTC") == {Decimal("0.999")}
    assert _possible_moves((bought,), START, "") == {Decimal(1)}


def test_the_spool_lies_beside_its_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spool_of(f"sqlite:///{tmp_path}/a.db").folder == tmp_path / "a.db.spool"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one = spool_of("postgresql+psycopg://u@h/one").folder
    assert one.is_relative_to(tmp_path / "algotrendy" / "spool")
    assert one != spool_of("postgresql+psycopg://u@h/two").folder
    assert list(Spool(tmp_path / "none").entries()) == []
