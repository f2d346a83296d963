"""The pre-trade check: a pure function that returns every reason against an order, or nothing.

Invariants
- Fails closed: what is missing or unreadable is a refusal, never a pass.
- Counts exposure as reserved: everything open and in flight is taken as filled on the order's own side.
- Tightening any limit never removes a refusal; raising the quantity never removes ORDER_NOTIONAL, POSITION_NOTIONAL,
  GROSS_EXPOSURE, NET_EXPOSURE, POOL_EXPOSURE or LEVERAGE_AFTER_FILL of an order that increases a position.
- More exposure, more repeats or a lower equity never remove a refusal.
- An order that only reduces a position is never refused for the size of the exposure that it reduces, nor for a loss.
- One that says reduce-only, and is, is not refused for what its strategy did before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.rounding import is_multiple
from brokers.types import ZERO, Instrument, OrderRequest, OrderSide, OrderType, Quote
from trading.risk.conduct import check_conduct, check_cross, check_hours, check_jump, check_losses
from trading.risk.policy import RiskPolicy
from trading.risk.values import Exposure, Refusal, RiskReason

_FUTURE_S_MAX = 5


def assess(
    request: OrderRequest,
    instrument: Instrument | None,
    quote: Quote | None,
    exposure: Exposure,
    policy: RiskPolicy,
    now: datetime,
) -> tuple[Refusal, ...]:
    """All refusals, in a fixed order; empty means: may be sent."""
    found = [*_permission(request, policy), *check_hours(request, policy, now)]
    found += [*check_conduct(request, exposure.conduct, policy), *_rates(request, exposure, policy)]
    usable = _usable(quote, request)
    found += _quote_time(quote, usable, policy, now)
    if instrument is None or instrument.instrument_id != request.instrument_id or not instrument.is_trading:
        found.append(Refusal(RiskReason.INSTRUMENT_UNKNOWN, f"{request.instrument_id} is not known or not trading"))
        return tuple(found)
    found += _filters(request, instrument, policy)
    found += _losses(request, exposure, policy)
    if usable is None:
        return tuple(found)
    price = expected_price(request, usable)
    found += check_jump(usable, exposure.conduct.last_quote, policy)
    found += check_cross(request, usable, exposure.conduct.resting, policy)
    found += _notional(request, instrument, price, policy)
    found += _collar(request, usable, price, policy)
    found += _exposure(request, instrument, price, exposure, policy)
    return tuple(found)


def expected_price(request: OrderRequest, quote: Quote) -> Decimal:
    """The worst price that the order may be filled at, as far as it can be known: its limit, else the far side, or the
    trigger that lies beyond it. A trigger that the market has passed is none: it is filled where the market is."""
    if request.limit_price is not None:
        return request.limit_price
    if request.side is OrderSide.BUY:
        return max(quote.ask, request.trigger_price or quote.ask)
    return min(quote.bid, request.trigger_price or quote.bid)


def order_notional(request: OrderRequest, instrument: Instrument, price: Decimal) -> Decimal:
    """Quantity times price times contract size, in quote currency."""
    return request.quantity * price * instrument.contract_size


def _permission(request: OrderRequest, policy: RiskPolicy) -> Iterator[Refusal]:
    if policy.restricts(request.instrument_id):
        text = f"{request.instrument_id} is in restricted_instruments"
        yield Refusal(RiskReason.INSTRUMENT_RESTRICTED, text)
    if not policy.allows(request.instrument_id):
        yield Refusal(RiskReason.INSTRUMENT_NOT_ALLOWED, f"{request.instrument_id} is not in allowed_instruments")
    unprotected = request.order_type in (OrderType.MARKET, OrderType.STOP_MARKET)
    if unprotected and not policy.market_orders_allowed and not request.reduce_only:
        yield Refusal(RiskReason.ORDER_TYPE_NOT_ALLOWED, f"order_type was {request.order_type}")


def _rates(request: OrderRequest, exposure: Exposure, policy: RiskPolicy) -> Iterator[Refusal]:
    if exposure.recent_sends >= policy.order_rate_max:
        yield _refuse(
            RiskReason.ORDER_RATE,
            f"orders in {policy.order_rate_window_s} s",
            Decimal(exposure.recent_sends + 1),
            Decimal(policy.order_rate_max),
        )
    limit = policy.open_orders_limit(request.instrument_id)
    if exposure.open_orders >= limit:
        yield _refuse(RiskReason.OPEN_ORDERS, "open orders", Decimal(exposure.open_orders + 1), Decimal(limit))


def _usable(quote: Quote | None, request: OrderRequest) -> Quote | None:
    if quote is None or quote.instrument_id != request.instrument_id:
        return None
    sound = quote.bid.is_finite() and quote.ask.is_finite() and ZERO < quote.bid <= quote.ask
    return quote if sound else None


def _quote_time(quote: Quote | None, usable: Quote | None, policy: RiskPolicy, now: datetime) -> Iterator[Refusal]:
    if usable is None:
        shown = "none" if quote is None else f"bid {quote.bid}, ask {quote.ask} of {quote.instrument_id}"
        yield Refusal(RiskReason.QUOTE_MISSING, f"the quote was {shown}")
        return
    age, limit = now - usable.time, policy.quote_age_limit(usable.instrument_id)
    if age > timedelta(seconds=float(limit)) or age < -timedelta(seconds=_FUTURE_S_MAX):
        yield Refusal(
            RiskReason.QUOTE_STALE,
            f"quote age must be within {limit} s, was {age.total_seconds():.3f} s",
        )


def _filters(request: OrderRequest, instrument: Instrument, policy: RiskPolicy) -> Iterator[Refusal]:
    quantity = request.quantity
    if quantity < instrument.quantity_min:
        yield _refuse(RiskReason.QUANTITY_BELOW_MINIMUM, "quantity", quantity, instrument.quantity_min, word="at least")
    is_market = request.order_type in (OrderType.MARKET, OrderType.STOP_MARKET)
    venue_limit = instrument.quantity_max_market if is_market else instrument.quantity_max_limit
    for limit in (venue_limit, policy.quantity_limit(request.instrument_id)):
        if limit is not None and quantity > limit:
            yield _refuse(RiskReason.QUANTITY_ABOVE_MAXIMUM, "quantity", quantity, limit)
    lot = instrument.lot_for(request.time_in_force)
    if not is_multiple(quantity, step=lot):
        yield Refusal(RiskReason.QUANTITY_OFF_LOT, f"quantity must be a multiple of {lot}, was {quantity}")
    for name, price in (("limit_price", request.limit_price), ("trigger_price", request.trigger_price)):
        if price is not None and not is_multiple(price, step=instrument.tick_size):
            text = f"{name} must be a multiple of {instrument.tick_size}, was {price}"
            yield Refusal(RiskReason.PRICE_OFF_TICK, text)


def _notional(request: OrderRequest, instrument: Instrument, price: Decimal, policy: RiskPolicy) -> Iterator[Refusal]:
    notional = order_notional(request, instrument, price)
    if notional < instrument.notional_min and not request.reduce_only:
        yield _refuse(
            RiskReason.NOTIONAL_BELOW_MINIMUM, "order notional", notional, instrument.notional_min, word="at least"
        )
    limit = policy.order_notional_limit(request.instrument_id)
    if notional > limit:
        yield _refuse(RiskReason.ORDER_NOTIONAL, "order notional", notional, limit)


def _collar(request: OrderRequest, quote: Quote, price: Decimal, policy: RiskPolicy) -> Iterator[Refusal]:
    """Against the mid, or against its own trigger for an order that waits for one; the harmful side only."""
    is_stop = request.trigger_price is not None
    reference = request.trigger_price if request.trigger_price is not None else quote.mid
    worse = (price - reference) * request.side.sign / reference
    collar = policy.collar(request.instrument_id)
    if worse > collar:
        against = "trigger" if is_stop else "mid"
        yield Refusal(
            RiskReason.PRICE_COLLAR,
            f"price must be within {collar} of the {against} {reference}, was {price} ({worse:.6f} worse)",
        )


def _losses(request: OrderRequest, exposure: Exposure, policy: RiskPolicy) -> Iterator[Refusal]:
    position, equity = exposure.position_quantity, exposure.equity
    if equity is not None:  # where it is None the account is unreadable, which is refused below
        reduces = position is not None and _only_reduces(request, position)
        yield from check_losses(request, equity, exposure.conduct, policy, reduces=reduces)


def _exposure(
    request: OrderRequest, instrument: Instrument, price: Decimal, exposure: Exposure, policy: RiskPolicy
) -> Iterator[Refusal]:
    position, equity = exposure.position_quantity, exposure.equity
    gross, net = exposure.gross_notional, exposure.net_notional
    if position is None or equity is None or gross is None or net is None:
        names = ("equity", "position_quantity", "gross_notional", "net_notional")
        missing = [name for name in names if getattr(exposure, name) is None]
        yield Refusal(RiskReason.ACCOUNT_UNREADABLE, f"not readable: {', '.join(missing)}")
        return
    if request.reduce_only and not _only_reduces(request, position):
        yield Refusal(
            RiskReason.REDUCE_ONLY_UNTRUE,
            f"a reduce-only {request.side} must be at most the opposite position, was {request.quantity} "
            f"against {position}",
        )
    sign = request.side.sign
    is_buy = request.side is OrderSide.BUY
    pending = exposure.pending_buy_quantity if is_buy else exposure.pending_sell_quantity
    after = position + sign * (request.quantity + pending)
    turns = position * sign < 0 and request.quantity > abs(position)
    if abs(after) <= abs(position) and not turns:
        return
    unit = price * instrument.contract_size
    limit = policy.position_notional_limit(request.instrument_id)
    if abs(after) * unit > limit:
        yield _refuse(RiskReason.POSITION_NOTIONAL, "position notional after fill", abs(after) * unit, limit)
    # This instrument's own pending quantity is in `pending_notional` already.
    added = max((abs(position + sign * request.quantity) - abs(position)) * unit, ZERO)
    gross += exposure.pending_notional + added
    if gross > policy.gross_notional_max:
        yield _refuse(RiskReason.GROSS_EXPOSURE, "gross notional after fill", gross, policy.gross_notional_max)
    pending_net = exposure.pending_buy_notional if is_buy else exposure.pending_sell_notional
    net = sign * net + pending_net + request.quantity * unit
    if net > policy.net_notional_max:
        yield _refuse(RiskReason.NET_EXPOSURE, "net notional after fill", net, policy.net_notional_max)
    yield from _pool(exposure, gross, policy)
    if equity <= 0 or gross > policy.leverage_max * equity:
        yield Refusal(
            RiskReason.LEVERAGE_AFTER_FILL,
            f"gross {gross} must be at most {policy.leverage_max} times the equity {equity}",
        )


def _pool(exposure: Exposure, gross: Decimal, policy: RiskPolicy) -> Iterator[Refusal]:
    if exposure.pool_unread and not policy.pool_may_be_unread:
        names = ", ".join(exposure.pool_unread)
        yield Refusal(
            RiskReason.POOL_UNREADABLE, f"no snapshot younger than {policy.pool_reading_age_s_max} s of {names}"
        )
    total = gross + exposure.pool_notional
    if total > policy.pool_gross_notional_max:
        limit = policy.pool_gross_notional_max
        yield _refuse(RiskReason.POOL_EXPOSURE, "gross notional of all accounts after fill", total, limit)


def _only_reduces(request: OrderRequest, position: Decimal) -> bool:
    opposes = position * request.side.sign < 0
    return opposes and request.quantity <= abs(position)


def _refuse(reason: RiskReason, what: str, value: Decimal, limit: Decimal, *, word: str = "at most") -> Refusal:
    return Refusal(reason, f"{what} must be {word} {limit:f}, was {value:f}")
