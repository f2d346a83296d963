"""How an order is read from its body: what is absent, malformed or contradictory is refused with HTTP 422."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from simulators.alpaca.book import Force, Kind
from simulators.alpaca.config import AlpacaAsset
from simulators.alpaca.context import Body, House
from simulators.alpaca.errors import bad_parameter, forbidden, unprocessable
from simulators.core.money import is_multiple, plain
from simulators.core.types import OrderSide

DECIMALS_MAX = 9
PENNY, SUB_PENNY = Decimal("0.01"), Decimal("0.0001")
CRYPTO_KINDS = (Kind.MARKET, Kind.LIMIT, Kind.STOP_LIMIT)
CRYPTO_FORCES = (Force.GTC, Force.IOC)
CRYPTO_COST_MIN = Decimal(10)


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class Group(StrEnum):
    SIMPLE = "simple"
    BRACKET = "bracket"
    OCO = "oco"
    OTO = "oto"
    MLEG = "mleg"


@dataclass(frozen=True, slots=True)
class Exit:
    """A price at which a group leaves its position: a limit, or a stop with or without a limit."""

    limit: Decimal | None = None
    stop: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One order as it was asked for, well-formed but not judged yet."""

    asset: AlpacaAsset
    side: OrderSide
    kind: Kind
    force: Force
    qty: Decimal | None
    notional: Decimal | None
    limit: Decimal | None
    stop: Decimal | None
    extended: bool
    client_id: str
    intent: str
    group: Group = Group.SIMPLE
    take_profit: Exit | None = None
    stop_loss: Exit | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None

    @property
    def is_fractional(self) -> bool:
        return self.notional is not None or (self.qty is not None and self.qty != self.qty.to_integral_value())


_PRICES: Mapping[Kind, tuple[bool, bool]] = {
    Kind.MARKET: (False, False),
    Kind.LIMIT: (True, False),
    Kind.STOP: (False, True),
    Kind.STOP_LIMIT: (True, True),
    Kind.TRAILING_STOP: (False, False),
}
"""Which types have a limit price and a stop price."""


def read_order(house: House, body: Body) -> Asked:
    """Read one order, or refuse it."""
    if not body.has("symbol"):
        raise bad_parameter("symbol is required")
    asset = house.find(body.text("symbol"))
    if asset is None:
        raise unprocessable(f'could not find asset "{body.text("symbol")}"')
    group = body.word("order_class", Group, "invalid order_class") if body.has("order_class") else Group.SIMPLE
    kind = body.word("type", Kind, "invalid order type")
    asked = Asked(
        asset=asset,
        side=OrderSide(body.word("side", Side, "invalid side").value),
        kind=kind,
        force=body.word("time_in_force", Force, "invalid time_in_force"),
        qty=body.decimal("qty"),
        notional=body.decimal("notional"),
        limit=body.decimal("limit_price"),
        stop=body.decimal("stop_price"),
        extended=body.flag("extended_hours") or False,
        client_id=client_id(house, body),
        intent=body.text("position_intent"),
        group=group,
        take_profit=_exit(body, "take_profit"),
        stop_loss=_exit(body, "stop_loss"),
        trail_price=body.decimal("trail_price"),
        trail_percent=body.decimal("trail_percent"),
    )
    check_form(house, asked)
    if group is Group.OCO and asked.take_profit is not None:
        asked = replace(asked, limit=asked.take_profit.limit)
    return asked


def client_id(house: House, body: Body) -> str:
    """Return the client order id of a body, "" when absent."""
    given, longest = body.text("client_order_id"), house.config.quirks.client_id_max
    if len(given) > longest:
        raise bad_parameter(f"client_order_id must be no more than {longest} characters")
    return given


def _exit(body: Body, name: str) -> Exit | None:
    inner = body.inner(name)
    return None if inner is None else Exit(limit=inner.decimal("limit_price"), stop=inner.decimal("stop_price"))


def check_form(house: House, asked: Asked) -> None:
    """Refuse what no account could order at any time."""
    _check_size(asked)
    is_oco = asked.group is Group.OCO
    for name, price, needed in zip(
        ("limit price", "stop price"), (asked.limit, asked.stop), _PRICES[asked.kind], strict=True
    ):
        if needed and price is None and not is_oco:
            raise bad_parameter(f"{asked.kind.value.replace('_', ' ')} orders require {name}")
        if not needed and price is not None:
            raise bad_parameter(f"{asked.kind.value.replace('_', ' ')} orders require no {name}")
    for field, price in (("limit_price", asked.limit), ("stop_price", asked.stop)):
        check_price(asked.asset, field, price)
    if asked.group is Group.MLEG:
        raise unprocessable("order_class mleg is not simulated: options are not listed")
    if asked.asset.is_crypto:
        _check_crypto(house, asked)
    else:
        _check_equity(house, asked)


def _check_size(asked: Asked) -> None:
    if (asked.qty is None) == (asked.notional is None):
        raise bad_parameter("qty or notional is required" if asked.qty is None else "only one of qty or notional")
    for name, value in (("qty", asked.qty), ("notional", asked.notional)):
        if value is None:
            continue
        if value <= 0:
            raise unprocessable(f"{name} must be > 0")
        if not is_multiple(value, Decimal(1).scaleb(-DECIMALS_MAX)):
            raise unprocessable(f"{name} must be limited to {DECIMALS_MAX} decimal places")
    if asked.notional is not None and asked.kind not in (Kind.MARKET, Kind.LIMIT):
        raise unprocessable("notional orders must be market or limit orders")
    if asked.notional is not None and asked.group is not Group.SIMPLE:
        raise unprocessable("notional orders must be simple orders")


def check_price(asset: AlpacaAsset, field: str, price: Decimal | None) -> None:
    """Refuse a price off the grid: a cent from one dollar on, a hundredth of one below; crypto has its own."""
    if price is None:
        return
    if price <= 0:
        raise unprocessable(f"{field} must be > 0")
    if asset.is_crypto:
        if not is_multiple(price, asset.tick):
            raise unprocessable(f"invalid {field} {plain(price)}. must be a multiple of {plain(asset.tick)}")
        return
    if not is_multiple(price, PENNY if price >= 1 else SUB_PENNY):
        text = "sub-penny increment does not fulfill minimum pricing criteria"
        raise unprocessable(f"invalid {field} {plain(price)}. {text}")


def _check_crypto(house: House, asked: Asked) -> None:
    if asked.kind not in CRYPTO_KINDS:
        raise bad_parameter("invalid order type for crypto order")
    if asked.force not in CRYPTO_FORCES:
        raise unprocessable("invalid crypto time_in_force")
    if asked.extended:
        raise unprocessable("extended hours is not valid for crypto orders")
    if asked.group is not Group.SIMPLE:
        raise unprocessable("crypto orders not allowed for advanced order_class: " + asked.group.value)
    price = asked.limit or house.price(asked.asset)
    cost = asked.notional if asked.notional is not None else (asked.qty or 0) * price
    if asked.side is OrderSide.BUY and asked.asset.quote == "USD" and cost < CRYPTO_COST_MIN:
        raise forbidden(f"cost basis must be >= minimal amount of order {CRYPTO_COST_MIN}")
    if asked.qty is not None and asked.qty < asked.asset.qty_min:
        raise forbidden(f"minimal qty of order {plain(asked.asset.qty_min)}")


def _check_equity(house: House, asked: Asked) -> None:
    asset, group = asked.asset, asked.group
    if asked.extended and (asked.kind is not Kind.LIMIT or asked.force is not Force.DAY):
        raise unprocessable("extended hours order must be DAY limit orders")
    if asked.force in (Force.OPG, Force.CLS, Force.IOC, Force.FOK) and asked.kind not in (Kind.MARKET, Kind.LIMIT):
        raise unprocessable(f"{asked.kind.value} orders cannot be {asked.force.value.upper()} orders")
    if asked.is_fractional:
        if not asset.fractionable:
            raise unprocessable(f'asset "{asset.symbol}" is not fractionable')
        if asked.force is not Force.DAY:
            raise unprocessable("fractional orders must be DAY orders")
        if asked.kind is Kind.TRAILING_STOP or group is not Group.SIMPLE:
            raise unprocessable("fractional orders must be simple orders")
        price = asked.limit or house.price(asset)
        if (asked.notional if asked.notional is not None else (asked.qty or 0) * price) < asset.cost_min:
            raise forbidden(f"cost basis must be >= minimal amount of order {plain(asset.cost_min)}")
    if asked.kind is Kind.TRAILING_STOP:
        _check_trail(asked)
    if group is not Group.SIMPLE:
        _check_group(house, asked)


def _check_group(house: House, asked: Asked) -> None:
    """Refuse a group without the exits that it needs, or with them on the wrong side of its price."""
    name, profit, loss = asked.group.value, asked.take_profit, asked.stop_loss
    if asked.force not in (Force.DAY, Force.GTC) or asked.extended:
        raise unprocessable(f"{name} orders must be DAY or GTC orders of regular hours")
    if asked.group is Group.OCO and asked.kind is not Kind.LIMIT:
        raise unprocessable("oco orders must be limit orders")
    needs_both = asked.group is not Group.OTO
    if (profit is None or profit.limit is None) and (needs_both or profit is not None):
        raise bad_parameter(f"{name} orders require take_profit.limit_price")
    if (loss is None or loss.stop is None) and (needs_both or loss is not None):
        raise bad_parameter(f"{name} orders require stop_loss.stop_price")
    if not needs_both and (profit is None) == (loss is None):
        raise bad_parameter("oto orders require one of take_profit or stop_loss")
    for field, price in (
        ("take_profit.limit_price", profit.limit if profit else None),
        ("stop_loss.stop_price", loss.stop if loss else None),
        ("stop_loss.limit_price", loss.limit if loss else None),
    ):
        check_price(asked.asset, field, price)
    base = asked.limit or house.price(asked.asset)
    entering = asked.side if asked.group is not Group.OCO else asked.side.opposite
    if asked.group is Group.OCO:
        base = house.price(asked.asset)
    if profit is not None and profit.limit is not None and (profit.limit - base) * entering.sign < PENNY:
        raise unprocessable(f"take_profit.limit_price must be {_beyond(entering, 1)} base_price")
    if loss is not None and loss.stop is not None and (base - loss.stop) * entering.sign < PENNY:
        raise unprocessable(f"stop_loss.stop_price must be {_beyond(entering, -1)} base_price")


def _beyond(entering: OrderSide, sign: int) -> str:
    return "above" if entering.sign * sign > 0 else "below"


def _check_trail(asked: Asked) -> None:
    if (asked.trail_price is None) == (asked.trail_percent is None):
        raise bad_parameter("trailing stop orders must specify one of trail_price or trail_percent")
    if (asked.trail_price or asked.trail_percent or 0) <= 0:
        raise unprocessable("trail must be > 0")
