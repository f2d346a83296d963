"""The rebalance decision: targets and a snapshot in, a plan out. Pure.

Invariants (property-tested in tests/trading/rebalancing):
1. No leg violates its instrument's filters: lot, smallest and largest quantity, smallest notional; parts of a lot are
   traded where the instrument's terms allow them, and never short.
2. What all increases need is at most the free money less the cash buffer plus what the reductions free, costs included.
3. A leg never crosses zero: reductions end at zero at most; a change of side is a reduction and an increase that waits.
4. Only differences are traded, toward the target and never past it; nothing is sold to be bought again.
5. A wider band never makes more lines leave it, and never gives more legs while neither money nor cost_max is short.
6. Planning again after the legs were filled as expected gives no leg, but for dust and the costs just paid.
7. Equal inputs give equal plans and equal hashes.
8. With a gross limit, increases never bring the lines' gross weight above it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, localcontext

from brokers.ids import InstrumentId
from brokers.rounding import MONEY, decimal_text, quantise_quantity
from brokers.types import ZERO, Instrument, PartTerms, PositionMode, PositionSide, ProductKind
from trading.rebalancing.funding import bound_costs, cost_of, fund, money_of
from trading.rebalancing.hashing import plan_hash
from trading.rebalancing.lines import ONE, Draft, Line, filter_reason
from trading.rebalancing.model import Expected, LineAction, Plan, PlanLeg, PlanLine, UnmanagedHolding
from trading.rebalancing.portfolio import OrderStyle, Portfolio, Scope, TradeTo, Unmanaged
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.timing import hold_reason, targets_ended
from trading.rebalancing.view import AccountView, PlanImpossible, is_paid_in_full

PIECES_MAX = 20  # orders that one change may be cut into where the venue bounds the order size
_STORED = Decimal("1e-18")
_HELD_BY_RULE = frozenset({LineReason.WITHIN_BAND, LineReason.COOLDOWN, LineReason.NOT_DUE})


def plan(portfolio: Portfolio, view: AccountView) -> Plan:
    """Decide what to trade. PlanImpossible when the account cannot be planned at all; lines fail one by one instead."""
    with localcontext(MONEY):
        if view.equity <= 0:
            raise PlanImpossible(
                "EQUITY_NOT_POSITIVE", f"equity is {decimal_text(view.equity)} {view.quote_currency}; deposit first"
            )
        if (ended := targets_ended(portfolio, view.time)) is not None:
            raise PlanImpossible(
                "TARGETS_STALE",
                f"the weights of {portfolio.name} were good until {ended.isoformat()}, it is {view.time.isoformat()}; "
                "make new ones, or move targets_at and targets_valid_until",
            )
        lines = _lines(portfolio, view)
        _check_paid_in_full(portfolio, lines)
        for line in lines:
            _set_target(line, portfolio, view)
        any_breach = any(line.is_breached for line in lines)
        held = hold_reason(portfolio, now=view.time, last_traded_at=view.last_traded_at)
        for line in lines:
            _draft(line, portfolio, book_moves=any_breach and portfolio.scope is Scope.WHOLE_BOOK, held=held)
            _cut(line, portfolio)
        fund(lines, portfolio, view)
        bound_costs(lines, portfolio, view)
        legs = _numbered(lines, portfolio, view)
        return _assembled(portfolio, view, lines, legs)


def _lines(portfolio: Portfolio, view: AccountView) -> list[Line]:
    parts: dict[InstrumentId, tuple[Decimal, Decimal]] = {}
    available = {holding.instrument_id: holding.available for holding in view.holdings}
    for holding in view.holdings:
        long, short = parts.get(holding.instrument_id, (ZERO, ZERO))
        is_long = holding.quantity > 0
        parts[holding.instrument_id] = (long + holding.quantity, short) if is_long else (long, short - holding.quantity)
    wanted = set(portfolio.targets)
    if portfolio.unmanaged is Unmanaged.CLOSE:
        wanted |= set(parts)
    investable, nothing = ONE - portfolio.cash_buffer, (ZERO, ZERO)
    return [
        Line(
            instrument_id=key,
            is_managed=key in portfolio.targets,
            instrument=view.instruments.get(key),
            quote=view.quotes.get(key),
            long=parts.get(key, nothing)[0],
            short=parts.get(key, nothing)[1],
            available=available.get(key),
            weight=portfolio.targets.get(key, ZERO) * investable,
            parts=_parts(view.instruments.get(key), portfolio),
        )
        for key in sorted(wanted, key=str)
    ]


def _parts(instrument: Instrument | None, portfolio: Portfolio) -> PartTerms | None:
    return None if instrument is None or portfolio.whole_lots else instrument.parts


def _check_paid_in_full(portfolio: Portfolio, lines: Iterable[Line]) -> None:
    if portfolio.gross_limit is not None:
        return  # a subscription's account: its money and its gross limit bound the increases
    paid = sum(
        (
            portfolio.targets.get(line.instrument_id, ZERO)
            for line in lines
            if line.instrument and is_paid_in_full(line.instrument.product)
        ),
        ZERO,
    )
    if paid > 1:
        raise PlanImpossible(
            "SPOT_WEIGHTS_ABOVE_ONE",
            f"weights of products paid in full sum to {decimal_text(paid)}, above 1; lower them or use linear lines",
        )


def _set_target(line: Line, portfolio: Portfolio, view: AccountView) -> None:
    problem = _problem(line, portfolio, view)
    if problem is not None:
        line.reasons.append(problem)
    if line.unit > 0:
        line.target = line.weight * view.equity / line.unit
        current = line.current * line.unit / view.equity
        line.is_breached = problem is None and portfolio.drift.is_breached(current=current, target=line.weight)
        if portfolio.drift.trade_to is TradeTo.BAND_EDGE:
            line.aim = portfolio.drift.aim(current=current, target=line.weight) * view.equity / line.unit
        if line.is_hedged and problem is None:
            line.is_breached = True  # hedged both ways: the plan nets it
    if problem is not None:
        line.is_breached = False


def _problem(line: Line, portfolio: Portfolio, view: AccountView) -> LineReason | None:
    """Why a line cannot be traded at all, or None."""
    instrument = line.instrument
    if instrument is None:
        return LineReason.INSTRUMENT_UNKNOWN
    currency = portfolio.quote_currency
    if instrument.quote_currency != currency or instrument.settle_currency != currency:
        return LineReason.QUOTE_CURRENCY_DIFFERS
    if not instrument.is_trading:
        return LineReason.INSTRUMENT_NOT_TRADING
    if line.quote is None:
        return LineReason.QUOTE_MISSING
    age_s_max = portfolio.quote_age_s_max
    if age_s_max is not None and (view.time - line.quote.time).total_seconds() > age_s_max:
        return LineReason.QUOTE_STALE
    if line.instrument_id in view.open_order_instruments:
        return LineReason.OPEN_ORDER_AT_VENUE
    if line.weight < 0 and is_paid_in_full(instrument.product):
        return LineReason.NO_SHORT_IN_PRODUCT
    return None


def _draft(line: Line, portfolio: Portfolio, *, book_moves: bool, held: LineReason | None) -> None:
    if line.reasons:
        return
    to_edge = portfolio.drift.trade_to is TradeTo.BAND_EDGE
    if not (line.is_breached or (book_moves and not to_edge)):
        line.reasons.append(LineReason.WITHIN_BAND)
        return
    reason = held or _price_reason(line, portfolio)
    if reason is not None:
        line.reasons.append(reason)
        return
    for direction, have, want, far in (
        (1, line.long, max(line.wanted, ZERO), max(line.target, ZERO)),
        (-1, line.short, max(-line.wanted, ZERO), max(-line.target, ZERO)),
    ):
        draft = Draft(line, direction, have > want, ZERO, line.parts if direction > 0 else None)
        draft.quantity = _change(abs(have - want), lot=draft.step, bound=abs(have - far) if to_edge else ZERO)
        if draft.quantity > 0:
            line.drafts.append(draft)
        elif have != want:
            line.reasons.append(LineReason.BELOW_LOT)
    _cap_at_available(line)
    notional = sum((draft.quantity for draft in line.drafts), ZERO) * line.unit
    is_exit = line.target == 0
    if line.drafts and notional < portfolio.minimum_trade_notional and not is_exit:
        line.drop(line.drafts, LineReason.BELOW_MINIMUM_TRADE)
    _drop_invalid(line, portfolio)


def _price_reason(line: Line, portfolio: Portfolio) -> LineReason | None:
    """The quote's half spread is what an immediate order pays against the mid."""
    assert line.quote is not None, "a line without a quote has a reason"
    most = portfolio.slippage_max
    is_wide = most is not None and line.quote.ask - line.mid > most * line.mid
    return LineReason.SLIPPAGE_ABOVE_MAX if is_wide else None


def _change(quantity: Decimal, *, lot: Decimal, bound: Decimal) -> Decimal:
    """Whole lots: toward zero, but a lot more where that still ends inside the band (`bound`: to the target itself)."""
    whole = quantise_quantity(quantity, lot=lot)
    return whole + lot if quantity - whole > ZERO and whole + lot <= bound else whole


def _cap_at_available(line: Line) -> None:
    """Sell at most what open orders leave free."""
    for draft in list(line.drafts):
        if line.available is not None and draft.is_reduction and draft.direction > 0:
            possible = quantise_quantity(line.available, lot=draft.step)
            if possible < draft.quantity:
                line.reasons.append(LineReason.HELD_BY_OPEN_ORDERS)
                draft.quantity = possible
        if draft.quantity == 0:
            line.drafts.remove(draft)


def _drop_invalid(line: Line, portfolio: Portfolio) -> None:
    """Take out drafts that the venue's filters would refuse, and increases whose reduction went."""
    for draft in list(line.drafts):
        reason = filter_reason(draft, draft.quantity, portfolio)
        if reason is not None:
            line.drop([draft], reason)
            if draft.is_reduction and not line.is_hedged:
                line.drop([other for other in line.drafts if not other.is_reduction], LineReason.REDUCTION_INCOMPLETE)


def _cut(line: Line, portfolio: Portfolio) -> None:
    """Before money is shared out, take changes as far as one plan's orders go; a cut reduction is no way past zero."""
    for draft in list(line.drafts):
        if draft not in line.drafts:
            continue  # went with its reduction
        possible = sum(_pieces(draft, portfolio), ZERO)
        is_incomplete = possible < draft.quantity
        draft.quantity = possible
        if possible == 0:
            line.drafts.remove(draft)
        if is_incomplete and draft.is_reduction and not line.is_hedged:
            line.drop([other for other in line.drafts if not other.is_reduction], LineReason.REDUCTION_INCOMPLETE)


# -- legs ------------------------------------------------------------------------------------------------------


def _pieces(draft: Draft, portfolio: Portfolio) -> list[Decimal]:
    """Cut a change into orders that the venue's largest size allows; a rest that is too small for an order goes."""
    instrument = draft.line.instrument
    assert instrument is not None
    largest = _largest(instrument, portfolio.order_style)
    if not largest or draft.quantity <= largest:
        return [draft.quantity]
    step = quantise_quantity(largest, lot=draft.step)
    if filter_reason(draft, step, portfolio) is not None:
        draft.line.reasons.append(LineReason.ABOVE_QUANTITY_MAX)  # the venue's own bounds leave no valid order
        return []
    whole = int(draft.quantity // step)
    pieces = [step] * min(whole, PIECES_MAX)
    rest = draft.quantity - step * whole
    if whole > PIECES_MAX or (whole == PIECES_MAX and rest > 0):
        draft.line.reasons.append(LineReason.ABOVE_QUANTITY_MAX)
    elif rest > 0 and filter_reason(draft, rest, portfolio) is None:
        pieces.append(rest)
    elif rest > 0:
        draft.line.reasons.append(LineReason.BELOW_QUANTITY_MIN)
    return pieces


def _largest(instrument: Instrument, style: OrderStyle) -> Decimal | None:
    """The venue's largest order; where a leg may go out both ways, the smaller of the two."""
    sizes = (instrument.quantity_max_limit, instrument.quantity_max_market)
    if style is OrderStyle.MARKET:
        return sizes[1]
    if style is not OrderStyle.LIMIT_THEN_MARKET:
        return sizes[0]
    return min((size for size in sizes if size), default=None)


def _numbered(lines: list[Line], portfolio: Portfolio, view: AccountView) -> tuple[PlanLeg, ...]:
    """Reductions first, larger ones first; increases wait for the reductions of their own instrument."""
    drafts = [draft for line in lines for draft in line.drafts]
    drafts.sort(key=lambda d: (not d.is_reduction, -d.quantity * d.line.unit, d.line.instrument_id, -d.direction))
    legs: list[PlanLeg] = []
    reductions: dict[InstrumentId, list[int]] = {}
    for draft in drafts:
        key = draft.line.instrument_id
        pieces = _pieces(draft, portfolio)
        draft.quantity = sum(pieces, ZERO)
        if not pieces:
            draft.line.drafts.remove(draft)
        for quantity in pieces:
            number = len(legs) + 1
            if draft.is_reduction:
                reductions.setdefault(key, []).append(number)
            legs.append(_leg(draft, quantity, number, tuple(reductions.get(key, ())), portfolio, view))
    return tuple(legs)


def _leg(
    draft: Draft, quantity: Decimal, number: int, after: tuple[int, ...], portfolio: Portfolio, view: AccountView
) -> PlanLeg:
    instrument, quote = draft.line.instrument, draft.line.quote
    assert instrument is not None and quote is not None
    notional = quantity * instrument.contract_size * draft.price
    is_hedge = view.modes.get(instrument.instrument_id) is PositionMode.HEDGE
    side_held = PositionSide.LONG if draft.direction > 0 else PositionSide.SHORT
    return PlanLeg(
        number=number,
        instrument_id=instrument.instrument_id,
        side=draft.side,
        quantity=quantity,
        is_reduction=draft.is_reduction,
        reduce_only=draft.is_reduction and instrument.product is not ProductKind.SPOT,  # shares can be sold short
        position_side=side_held if is_hedge else None,
        price=draft.price,
        mid=draft.line.mid,
        notional=_stored(notional),
        money=_stored(money_of(draft, quantity, portfolio, view)),
        cost=_stored(cost_of(draft, quantity, portfolio, view)),
        after_legs=() if draft.is_reduction else after,
        tick_size=instrument.tick_size,
        lot_size=draft.step,
        contract_size=instrument.contract_size,
        quantity_min=instrument.quantity_min,
        notional_min=draft.notional_min,
        parts_of=instrument.lot_size if draft.parts is not None else None,
        part_time_in_force=draft.parts.times_in_force[0] if draft.parts is not None else None,
    )


# -- the plan --------------------------------------------------------------------------------------------------


def _assembled(portfolio: Portfolio, view: AccountView, lines: list[Line], legs: tuple[PlanLeg, ...]) -> Plan:
    done = tuple(_plan_line(line, view) for line in lines)
    return Plan(
        account_id=view.account_id,
        portfolio=portfolio,
        time=view.time,
        equity=_stored(view.equity),
        free_money=_stored(view.free_money),
        fee_rate=max(view.fee_rates.values()),
        lines=done,
        legs=legs,
        unmanaged=_unmanaged(portfolio, view),
        expected=_expected(view, done, legs),
        plan_hash=plan_hash(portfolio, view),
    )


def _plan_line(line: Line, view: AccountView) -> PlanLine:
    after = line.current + sum((draft.side.sign * draft.quantity for draft in line.drafts), ZERO)
    unit, equity = line.unit, view.equity
    action = LineAction.TRADE if line.drafts else LineAction.SKIP
    if not line.drafts and _HELD_BY_RULE.issuperset(line.reasons):
        action = LineAction.HOLD
    is_known = unit > 0
    target, wanted = (line.target, line.wanted) if is_known else (line.current, line.current)
    current_weight = _rounded(line.current * unit / equity)
    return PlanLine(
        instrument_id=line.instrument_id,
        is_managed=line.is_managed,
        price=line.mid,
        current_quantity=line.current,
        target_quantity=_stored(target),
        after_quantity=after,
        residual_quantity=_stored(wanted - after),
        current_notional=_stored(line.current * unit),
        target_notional=_stored(line.weight * equity),
        after_notional=_stored(after * unit),
        current_weight=current_weight,
        target_weight=_rounded(line.weight),
        after_weight=_rounded(after * unit / equity),
        drift=_rounded(line.current * unit / equity - line.weight),
        is_breached=line.is_breached,
        action=action,
        reasons=tuple(dict.fromkeys(line.reasons)),
        lot_size=line.lot,
        contract_size=line.instrument.contract_size if line.instrument else ONE,
        aim_quantity=None if wanted == target else _stored(wanted),
        price_time=line.quote.time if line.quote else None,
    )


def _unmanaged(portfolio: Portfolio, view: AccountView) -> tuple[UnmanagedHolding, ...]:
    found = []
    if portfolio.unmanaged is Unmanaged.LEAVE:
        for holding in view.holdings:
            if holding.instrument_id in portfolio.targets:
                continue
            quote, instrument = view.quotes.get(holding.instrument_id), view.instruments.get(holding.instrument_id)
            value = holding.quantity * quote.mid * instrument.contract_size if quote and instrument else None
            found.append(
                UnmanagedHolding(
                    name=str(holding.instrument_id),
                    quantity=holding.quantity,
                    notional=None if value is None else _stored(value),
                    reason=LineReason.UNMANAGED_LEFT,
                )
            )
    found.extend(
        UnmanagedHolding(
            name=currency, quantity=total, notional=None, reason=LineReason.UNMANAGED_LEFT, is_currency=True
        )
        for currency, total in view.unpriced
    )
    return tuple(found)


def _expected(view: AccountView, lines: Iterable[PlanLine], legs: Iterable[PlanLeg]) -> Expected:
    book, orders = list(lines), list(legs)
    fees = (leg.notional * view.fee_rates[view.instruments[leg.instrument_id].product] for leg in orders)
    drifts = [abs(line.after_weight - line.target_weight) for line in book]
    turnover = sum((leg.notional for leg in orders), ZERO)
    return Expected(
        turnover=_stored(turnover),
        fees=_stored(sum(fees, ZERO)),
        costs=_stored(sum((leg.cost for leg in orders), ZERO)),
        free_money=_stored(view.free_money - sum((leg.money for leg in orders), ZERO)),
        gross_weight_before=sum((abs(line.current_weight) for line in book), ZERO),
        gross_weight_after=sum((abs(line.after_weight) for line in book), ZERO),
        net_weight_after=sum((line.after_weight for line in book), ZERO),
        drift_before=sum((abs(line.drift) for line in book), ZERO) / 2,
        drift_after=sum(drifts, ZERO) / 2,
        drift_max_after=max(drifts, default=ZERO),
    )


def _stored(value: Decimal) -> Decimal:
    """What the ledger can keep: at most 18 places, toward zero."""
    return value.quantize(_STORED, rounding=ROUND_DOWN, context=MONEY)


def _rounded(weight: Decimal) -> Decimal:
    """A weight as it is shown and stored: 12 places."""
    return weight.quantize(Decimal("1e-12"), rounding=ROUND_HALF_EVEN, context=MONEY)
