"""Alertatron and Instabot: `MyKeys(SYMBOL) { call(name=value, …); … } #bot` within any text (alertatron.com/docs,
github.com/instabot42/trader-docs).

One block with at most one order is read: market, limit at a price (`offset=@68000`), stopMarket at a price, or
`position=0` for an exit and `position=25%p` for one that leaves a quarter of the position; `cancel(which=all)` before
it cancels first, alone it cancels. Everything else of the language (offsets from the market, waits, scaled, iceberg
and ping-pong orders, conditions) is refused by name. `side` has to be given. Amounts are units, or percent of the
equity (`5%`) or of the position (`50%p`). Unknown arguments are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from brokers.types import OrderSide, OrderType
from trading.alerts.dialects.fields import Fields, digest, require_resolved
from trading.alerts.dialects.reading import Reading, order_side, unsupported_command, viewed
from trading.alerts.model import HUNDRED, Alert, AlertAction, Dialect, QuantityMode, Settled, settled
from trading.alerts.reasons import AlertReason, AlertRefused

BLOCK = re.compile(r"(?P<keys>[\w.-]{1,60})\((?P<symbol>[^(){}\n]{1,60})\)[ \t\r\n]{0,40}\{(?P<calls>[^{}]{0,4000})\}")
_CALL = re.compile(r"[ \t\r\n]*(?P<name>[A-Za-z]{1,40})\((?P<arguments>[^()]{0,1000})\)[ \t\r\n]*")
_SIGNATURE = re.compile(r"\bsig:(\S{1,200})")
_AMOUNT = re.compile(r"(?P<number>[0-9][0-9.]{0,39})(?P<unit>|%|%b|%p)", re.ASCII)
_ORDERS = {
    **dict.fromkeys(("market", "marketOrder"), OrderType.MARKET),
    **dict.fromkeys(("limit", "limitOrder"), OrderType.LIMIT),
    **dict.fromkeys(("stopMarket", "stopMarketOrder"), OrderType.STOP_MARKET),
}
_CANCELS = ("cancel", "cancelOrders")
_SILENT = ("notify", "balance")
_KNOWN = "market, limit, stopMarket, cancel"
CALLS_MAX = 16


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: Fields


def read(body: str) -> Reading:
    """Read the block within a body."""
    signature = _SIGNATURE.search(body)
    secrets = {"sig": digest(signature[1])} if signature else {}
    blocks = list(BLOCK.finditer(body))
    if len(blocks) != 1:
        require_resolved(body, field="the body")
        text = f"one alert is one block KEYS(SYMBOL) {{ … }}; it has {len(blocks)}"
        raise AlertRefused(AlertReason.FIELD_UNSUPPORTED, text)
    block = blocks[0]
    calls = [call for call in _calls(block["calls"]) if call.name not in _SILENT]
    cancels = [call for call in calls if call.name in _CANCELS]
    orders = [call for call in calls if call.name not in _CANCELS]
    for call in cancels:
        _require_all(call)
    if len(orders) > 1 or (orders and cancels and calls[-1] is not orders[0]):
        raise unsupported_command("more than one order, or a cancel after it,", known="cancel, then one order")
    symbol, strategy = block["symbol"].strip(), block["keys"]
    if orders:
        return Reading(alert=_order(orders[0], symbol, strategy, cancel_first=bool(cancels)), secrets=secrets)
    if not cancels:
        raise AlertRefused(AlertReason.FIELD_MISSING, f"the block orders nothing; what it can: {_KNOWN}")
    alert = Alert(source="", dialect=Dialect.ALERTATRON, **viewed(symbol), action=AlertAction.CANCEL, strategy=strategy)
    return Reading(alert=alert, secrets=secrets)


def _calls(text: str) -> list[_Call]:
    found: list[_Call] = []
    for part in text.split(";"):
        if not part.strip():
            continue
        call = _CALL.fullmatch(part)
        if call is None:
            raise AlertRefused(AlertReason.FIELD_INVALID, f"call {len(found) + 1} must read name(argument=value, …)")
        name = call["name"]
        if name not in (*_ORDERS, *_CANCELS, *_SILENT):
            raise unsupported_command(name, known=_KNOWN)
        found.append(_Call(name, Fields(_arguments(call["arguments"], name), place=f"{name}.")))
    if len(found) > CALLS_MAX:
        raise AlertRefused(AlertReason.BODY_TOO_LARGE, f"a block may have {CALLS_MAX} calls, has {len(found)}")
    return found


def _arguments(text: str, call: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name in found:
            raise AlertRefused(AlertReason.FIELD_INVALID, f"{call} must have arguments name=value, each once")
        found[name] = value.strip()
    return found


def _require_all(call: _Call) -> None:
    which = call.arguments.text("which").lower()
    if which != "all":
        raise unsupported_command(f"cancel(which={which[:40]})", known="cancel(which=all)")
    call.arguments.finish()


def _order(call: _Call, symbol: str, strategy: str, *, cancel_first: bool) -> Alert:
    arguments, order_type = call.arguments, _ORDERS[call.name]
    arguments.unsupported("postOnly")
    arguments.ignore("tag")
    reduce_only = arguments.flag("reduceOnly") or False
    price = _price(arguments, call.name) if order_type is not OrderType.MARKET else None
    closed = _closed_percent(arguments)
    is_exit, is_whole = closed is not None, closed == HUNDRED
    if is_exit:
        quantity, mode = (None, QuantityMode.FIXED) if is_whole else (closed, QuantityMode.PERCENT_OF_POSITION)
    else:
        quantity, mode = _amount(arguments)
    terms = Settled(action=AlertAction.EXIT) if is_exit else settled(side=_side(arguments), target=None, previous=None)
    arguments.ignore(*(("side", "amount") if is_exit else ()))
    arguments.finish()
    return Alert(
        source="",
        dialect=Dialect.ALERTATRON,
        **viewed(symbol),
        action=terms.action,
        strategy=strategy,
        quantity=quantity,
        quantity_mode=mode,
        order_type=order_type,
        limit_price=price if order_type is OrderType.LIMIT else None,
        stop_price=price if order_type is OrderType.STOP_MARKET else None,
        reduce_only=reduce_only or mode is QuantityMode.PERCENT_OF_POSITION,
        cancel_first=cancel_first or is_whole,
    )


def _side(arguments: Fields) -> OrderSide:
    return order_side(arguments.required("side").lower())


def _closed_percent(arguments: Fields) -> Decimal | None:
    """How much of the position an order to be in a position closes; None for an order of another kind."""
    position = arguments.text("position")
    if not position:
        return None
    found = _AMOUNT.fullmatch(position)
    number = Fields({"position": found["number"]}).number("position") if found else None
    if number == 0:
        return HUNDRED
    if found is None or number is None or found["unit"] != "%p" or number >= HUNDRED:
        known = "position=0, a part of the present one such as position=25%p, or side and amount"
        raise unsupported_command(f"position={position[:40]}", known=known)
    return HUNDRED - number


def _price(arguments: Fields, call: str) -> Decimal:
    offset = arguments.required("offset")
    if not offset.startswith("@"):
        text = f"{call}(offset={offset[:40]}) is a distance from the market; give a price: offset=@68000"
        raise AlertRefused(AlertReason.PRICE_RELATIVE, text)
    return Fields({"offset": offset[1:]}, place=f"{call}.").positive("offset") or Decimal(0)


def _amount(arguments: Fields) -> tuple[Decimal | None, QuantityMode]:
    amount = arguments.text("amount")
    if not amount:
        return None, QuantityMode.FIXED
    found = _AMOUNT.fullmatch(amount)
    if found is None:
        raise unsupported_command(f"amount={amount[:40]}", known="units, 5% of the equity, 50%p of the position")
    number = Fields({"amount": found["number"]}).positive("amount")
    modes = {"": QuantityMode.FIXED, "%p": QuantityMode.PERCENT_OF_POSITION}
    return number, modes.get(found["unit"], QuantityMode.PERCENT_OF_EQUITY)
