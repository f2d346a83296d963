"""OKX as a `Broker`: every method of the port over one guarded client.

Built by `brokers.factory.open_broker` only. Acknowledgements are asynchronous: what became of an order is read with
`find_order`, never concluded from an answer. Quantities of swaps are contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.capabilities import OrderIdentity
from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.errors import (
    AnswerUnreadable,
    BrokerError,
    InstrumentUnknown,
    InvalidOrder,
    NotSent,
    OrderAlreadyDone,
    OrderNotFound,
    PermissionRefused,
    Unsupported,
    VerificationFailed,
)
from brokers.fields import Row, moment, required, text
from brokers.guard import Origin, SendGuard
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.okx import algos, bills, codes, history, mapping, orders, payloads
from brokers.okx.client import OKXClient, classify
from brokers.okx.instruments import INST_TYPE, InstrumentBook, Market, foreign, market_of
from brokers.okx.mapping import AccountMode
from brokers.okx.profile import CAPABILITIES, IDENTITY, ORDER_TAG
from brokers.okx.stops import Stops
from brokers.port import Broker
from brokers.rounding import decimal_text
from brokers.strictjson import decode
from brokers.terms import require_leverage
from brokers.types import (
    AccountProof,
    Balance,
    CashEvent,
    ClockReading,
    Fill,
    Instrument,
    LeverageInfo,
    MarginHealth,
    MarginMode,
    Order,
    OrderAck,
    OrderRequest,
    Position,
    PositionMode,
    PreparedOrder,
    ProductKind,
    ProfitAndLoss,
    Quote,
)
from brokers.wire import SendTicket, WireRecord

ACCOUNT_MODE_AGE_MAX = timedelta(seconds=60)
_ASKED_ONE_BY_ONE_MAX = 5  # of whose orders fills are; more are looked up in the lists of orders


class OKXBroker(Broker):
    """One trading account at OKX."""

    capabilities = CAPABILITIES

    def __init__(self, config: AccountConfig, *, base_url: str, clock: Clock) -> None:
        self.account_id = config.account_id
        self._config = config
        self._clock = clock
        self._base_url = base_url
        self._guard = SendGuard(
            origins=frozenset({Origin.of(base_url)}),
            classify=classify,
            clock=clock,
            timeout_s=config.read_timeout_s,
            secrets=tuple(
                secret.get_secret_value() for secret in (config.api_key, config.api_secret, config.api_passphrase)
            ),
        )
        self._client = OKXClient(config, base_url=base_url, guard=self._guard, clock=clock)
        self._book = InstrumentBook(self._instrument_rows, products=config.products, clock=clock)
        self._stops = Stops(self._client, alone=self._stop_alone, plain=self._plain, find_plain=self._find_plain)
        self._account_mode: tuple[AccountMode, datetime] | None = None
        self._clock_reading: ClockReading | None = None

    @property
    def order_requests_sent(self) -> int:
        return self._guard.order_requests_sent

    # -- connection ---------------------------------------------------------------------------------------------
    def connect(self) -> AccountProof:
        """Prove clock, key, environment, rights and account mode; EnvironmentMismatch for a key of the other one."""
        reading = self.clock_reading()
        row = self._read_config()
        mode = self._known_mode()
        if ProductKind.LINEAR in self._config.products and not mode.trades_swaps:
            raise PermissionRefused(
                f"account {self.account_id} is in OKX's spot mode (acctLv 1), which trades no swaps; change the "
                "account mode at OKX, or give the account products: [spot]"
            )
        granted = mapping.permissions(row)
        return AccountProof(
            account_id=self.account_id,
            venue_account=required(row, "uid"),
            host=self._base_url,
            key_fingerprint=self._config.key_fingerprint,
            can_trade="trade" in granted,
            can_withdraw="withdraw" in granted,
            permissions=granted,
            margin_mode=mode.margin_mode,
            clock=reading,
            extra={
                "account_level": mode.level,
                "position_mode": text(row, "posMode"),
                "ips": text(row, "ip"),
                "main_account": text(row, "mainUid"),
                "note": text(row, "label"),
            },
        )

    def clock_reading(self) -> ClockReading:
        before = self._clock.now()
        row = _only(self._client.public("public/time"), what="the time")
        reading = ClockReading.between(before, moment(row, "ts"), self._clock.now())
        self._client.offset = reading.offset
        self._clock_reading = reading
        return reading

    def close(self) -> None:
        self._client.close()

    # -- market data --------------------------------------------------------------------------------------------
    def instruments(self, ids: Iterable[InstrumentId] | None = None) -> tuple[Instrument, ...]:
        """Those asked for, or all; Unsupported for contracts that OKX lists and this adapter does not trade."""
        if ids is None:
            return self._book.all()
        return tuple(self._book.get(instrument_id) for instrument_id in ids)

    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        """One request per product: by symbol for a single instrument, the whole list for several."""
        markets = [market_of(self._book.get(instrument_id)) for instrument_id in ids]
        found: dict[InstrumentId, Quote] = {}
        for product in sorted({market.product for market in markets if market.product is not None}):
            wanted = {market.symbol: market for market in markets if market.product is product}
            for row in self._tickers(product, tuple(wanted)):
                market = wanted.get(text(row, "instId"))
                if market is not None:
                    found[market.instrument_id] = mapping.quote(row, market)
        for instrument_id in ids:
            if instrument_id not in found:
                raise AnswerUnreadable(f"the venue's tickers do not show {instrument_id}")
        return tuple(found[instrument_id] for instrument_id in ids)

    def _tickers(self, product: ProductKind, symbols: Sequence[str]) -> list[Row]:
        if len(symbols) == 1:
            return self._client.public("market/ticker", instId=symbols[0])
        return self._client.public("market/tickers", instType=INST_TYPE[product])

    def _instrument_rows(self, inst_type: str) -> list[Row]:
        return self._client.public("public/instruments", instType=inst_type)

    # -- account ------------------------------------------------------------------------------------------------
    def balances(self) -> tuple[Balance, ...]:
        mode, account = self._known_mode(), self._balance_row()
        time = moment(account, "uTime")
        return tuple(
            mapping.balance(row, account_id=self.account_id, mode=mode, time=time)
            for row in mapping.details(account)
            if mapping.has_money(row)
        )

    def margin_health(self) -> MarginHealth:
        return mapping.margin_health(self._balance_row(), account_id=self.account_id)

    def positions(self) -> tuple[Position, ...]:
        """The whole account's. What this adapter does not trade (futures, options, inverse) keeps OKX's name."""
        found = (self._mapped(mapping.position, row, market) for row, market in self._position_rows())
        return mapping.merged(found)

    def profit_and_loss(self) -> tuple[ProfitAndLoss, ...]:
        """Of instruments with an open position, each since it was opened."""
        return mapping.profit_and_loss(
            [(row, market) for row, market in self._position_rows() if market.settle],
            account_id=self.account_id,
            time=self._client.venue_now(),
        )

    def leverage(self, instrument_id: InstrumentId) -> LeverageInfo:
        """Under cross margin, which is what orders are sent with."""
        market, mode = self._contract(instrument_id), self._known_mode()
        if mode.margin_mode in (MarginMode.CASH, MarginMode.PORTFOLIO):
            raise Unsupported(f"{instrument_id} has no leverage of its own in {mode.margin_mode} margin mode at OKX")
        rows = self._client.get("account/leverage-info", instId=market.symbol, mgnMode="cross")
        return mapping.leverage_info(rows, market, mode)

    def set_leverage(self, instrument_id: InstrumentId, leverage: Decimal) -> LeverageInfo:
        """For both sides, under cross margin; VerificationFailed when the venue shows another afterwards."""
        market = self._contract(instrument_id)
        require_leverage(leverage, self._book.get(instrument_id))
        wanted = decimal_text(leverage)
        self._write("account/set-leverage", {"instId": market.symbol, "lever": wanted, "mgnMode": "cross"})
        found = self.leverage(instrument_id)
        if (found.long_leverage, found.short_leverage) != (leverage, leverage):
            raise VerificationFailed(
                f"leverage of {instrument_id} must read {wanted} after setting it, "
                f"was long {found.long_leverage}, short {found.short_leverage}"
            )
        return found

    def set_position_mode(self, instrument_id: InstrumentId, mode: PositionMode) -> LeverageInfo:
        """Of the whole account, so nothing is sent where it is so already: OKX refuses while anything is open."""
        self._contract(instrument_id)
        self._read_config()
        if self._known_mode().position_mode is not mode:
            self._write("account/set-position-mode", {"posMode": mapping.POSITION_MODE_NAMES[mode]})
            self._read_config()
        found = self._known_mode().position_mode
        if found is not mode:
            raise VerificationFailed(f"position mode of the account must read {mode} after setting it, was {found}")
        return self.leverage(instrument_id)

    def set_margin_mode(self, instrument_id: InstrumentId, mode: MarginMode) -> LeverageInfo:
        """OKX has no such setting: each order names its margin, and ours name cross."""
        self._contract(instrument_id)
        if mode is not MarginMode.CROSS:
            raise Unsupported(
                f"margin mode {mode} of {instrument_id}: orders at OKX name their margin, and this adapter sends them "
                "with cross margin"
            )
        return self.leverage(instrument_id)

    # -- orders: reads ------------------------------------------------------------------------------------------
    def find_order(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> Order | None:
        """Where several orders had one id, OKX shows the latest. A client id may be that of a conditional order: those
        are looked up where no ordinary order has it."""
        market = self._known_market(instrument_id)
        if client_order_id is None and venue_order_id is not None and algos.is_algo(venue_order_id):
            return self._stops.find(market, "algoId", algos.algo_id_of(venue_order_id))
        name, value = _order_id(client_order_id, venue_order_id)
        row = self._present(market, name, value)
        if row is None and name == "clOrdId":
            stop = self._stops.find(market, "algoClOrdId", value)
            if stop is not None:
                return stop
        if row is None:
            row = self._older_order(market, name, value)
        return None if row is None else self._order(row)

    def _find_plain(self, market: Market, name: str, value: str) -> Row | None:
        """An ordinary order, live or over."""
        row = self._present(market, name, value)
        return row if row is not None else self._older_order(market, name, value)

    def _present(self, market: Market, name: str, value: str) -> Row | None:
        """Open, or over of late. One code alone says that there is none: an empty list does not, nor do the codes that
        say the same of an order that is over."""
        try:
            found = self._client.get("trade/order", instId=market.symbol, **{name: value})
        except OrderNotFound as error:
            if error.code != codes.ORDER_NOT_FOUND:
                raise
            return None
        except InstrumentUnknown:
            if market.is_listed:
                raise
            # The list of open orders needs no name.
            rows = self._client.pages("trade/orders-pending", "ordId")
            return next((row for row in rows if text(row, name) == value), None)
        row = _only(found, what=f"the order {name} {value}")
        if text(row, name) != value:
            raise AnswerUnreadable(f"asked for the order {name} {value}, the venue showed others")
        return row

    def _older_order(self, market: Market, name: str, value: str) -> Row | None:
        """Among the orders that are over: by OKX's id, which its lists are sorted by, in one request of the archive."""
        for inst_type in self._types_of(market.product):
            where = {"instType": inst_type, **({"instId": market.symbol} if market.is_listed else {})}
            if name == "ordId" and value.isascii() and value.isdigit():
                after = {"after": str(int(value) + 1), "limit": "1"}
                found: Iterable[Row] = self._client.get("trade/orders-history-archive", **where, **after)
            else:
                found = self._client.pages("trade/orders-history", "ordId", **where)
            for row in found:
                if text(row, name) == value:
                    return row
        return None

    def open_orders(self) -> tuple[Order, ...]:
        """Of the whole account, whatever they trade, conditional ones too: those first, so that one which triggers
        meanwhile is found among the others."""
        stops = [self._stop_alone(row) for row in self._stops.waiting()]
        found = {order.venue_order_id: order for order in stops}
        rows = {required(row, "ordId"): row for row in self._client.pages("trade/orders-pending", "ordId")}
        found |= {order.venue_order_id: order for order in map(self._order, rows.values())}
        return tuple(order for order in found.values() if order.status.is_open)

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        """Orders created in `since <= time < until` that are over; unfilled ones are shown for two hours only.

        Conditional orders are among them where they are followed (`brokers.okx.algos`).
        """
        found: dict[str, Order] = {}
        stops = (self._stops.of(self._market(row), row) for row in self._stops.ended(since))
        for order in (*stops, *map(self._order, self._history(history.ORDERS, since, until))):
            if not order.status.is_open and since <= order.created_at < until:
                found[order.venue_order_id.value] = order
        return tuple(sorted(found.values(), key=lambda order: (order.created_at, order.venue_order_id)))

    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        """Executions in `since <= time < until`; AnswerUnreadable when two orders show one trade of an instrument.

        Those of an order that a followed conditional order placed are fills of that one.
        """
        known = self._book.known(instrument_id) if instrument_id else None
        market = (
            known if known is not None and known.is_listed else None
        )  # OKX refuses the name of what it no longer lists: all are read
        rows = {required(row, "billId"): row for row in self._history(history.FILLS, since, until, market=market)}
        self._learn_owners(rows.values(), since, until, market=market)
        found: dict[str, Fill] = {}
        for row in rows.values():  # both lists show some: once each
            traded = self._market(row)
            fill = self._mapped(orders.fill, row, traded)
            owner = self._stops.owner_of(traded, fill.venue_order_id.value)
            if owner is not None:
                fill = replace(fill, venue_order_id=owner.venue_order_id, client_order_id=owner.client_order_id)
            first, is_swap = found.get(fill.trade_id.value), traded.product is not ProductKind.SPOT
            found[fill.trade_id.value] = fill if first is None else orders.of_one_trade(first, fill, is_swap=is_swap)
        is_chosen_here = known is not None and not known.is_listed
        wanted = [fill for fill in found.values() if not is_chosen_here or fill.instrument_id == instrument_id]
        inside = (fill for fill in wanted if since <= fill.time < until)
        return tuple(sorted(inside, key=lambda fill: (fill.time, fill.venue_order_id, fill.trade_id)))

    def _learn_owners(self, rows: Iterable[Row], since: datetime, until: datetime, *, market: Market | None) -> None:
        """A fill does not say whether a conditional order placed its order: where many are not known, ask the lists."""
        unknown = {number for row in rows if not self._stops.knows(number := required(row, "ordId"))}
        if len(unknown) > _ASKED_ONE_BY_ONE_MAX:
            for row in self._history(history.ORDERS, since, until, market=market):
                self._stops.note(row)

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        """Bills of the trading account in `since <= time < until`; AnswerUnreadable when one id shows two changes."""
        found: dict[str, CashEvent] = {}
        for path, bounds in history.stretches(history.BILLS, since, until, now=self._client.venue_now()):
            for row in self._client.pages(path, "billId", **bounds):
                event = self._mapped(bills.cash_event, row, self._market(row) if text(row, "instId") else None)
                if since <= event.time < until and found.setdefault(event.event_id, event) != event:
                    raise AnswerUnreadable(
                        f"bill {event.event_id} is shown with {found[event.event_id].amount} and with {event.amount} "
                        f"{event.currency}; one id must name one change of the wallet"
                    )
        events = list(found.values())
        events.reverse()  # OKX lists newest first: this keeps the order of bills within one millisecond
        events.sort(key=lambda event: event.time)
        return tuple(events)

    def _history(
        self, kind: history.History, since: datetime, until: datetime, *, market: Market | None = None
    ) -> Iterator[Row]:
        products = [market.product] if market else sorted(self._config.products)
        only = {"instId": market.symbol} if market else {}
        for path, bounds in history.stretches(kind, since, until, now=self._client.venue_now()):
            for inst_type in (name for product in products for name in self._types_of(product)):
                yield from self._client.pages(path, kind.cursor, instType=inst_type, **only, **bounds)

    # -- orders: writes -----------------------------------------------------------------------------------------
    def identity(self, instrument_id: InstrumentId) -> OrderIdentity:
        return IDENTITY

    def prepare_order(self, request: OrderRequest, client_order_id: ClientOrderId) -> PreparedOrder:
        """No order leaves here. Instrument and account mode are read when they are not known yet, the position where a
        reduction must name the margin under which it is held."""
        instrument = self._book.get(request.instrument_id)
        mode = self._known_mode()
        held = self._held(instrument) if payloads.needs_position(request, instrument) else ()
        return payloads.prepare(request, instrument, client_order_id, mode=mode, held=held)

    def place(self, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        is_stop = _check_payload(prepared)
        self._require_clock()
        with self._guard.sending(ticket, sha256=prepared.sha256):
            row = self._client.place_order(prepared.payload, ticket=ticket, is_stop=is_stop)
            if is_stop:
                return algos.ack(row, prepared.client_order_id, time=self._client.venue_now())
            acknowledged = orders.ack(row, prepared.client_order_id)
            self._stops.note(row)
            return acknowledged

    def _require_clock(self) -> None:
        """`not_after` is venue time: without an offset the deadline would mean nothing."""
        if self._clock_reading is not None:
            return
        try:
            self.clock_reading()
        except BrokerError as error:
            raise NotSent(f"nothing was sent: the venue's clock could not be read: {error.message}") from error

    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        """With a client id alone, a conditional order that has it is cancelled where no ordinary order could be."""
        market = self._known_market(instrument_id)
        if venue_order_id is not None and algos.is_algo(venue_order_id):
            return self._cancel_stop(market, "algoId", algos.algo_id_of(venue_order_id))
        name, value = _order_id(client_order_id, venue_order_id)
        try:
            return self._cancel_plain(market, name, value)
        except (OrderNotFound, OrderAlreadyDone) as error:
            if venue_order_id is not None:
                raise
            try:
                return self._cancel_stop(market, "algoClOrdId", value)
            except (OrderNotFound, OrderAlreadyDone):
                raise error from None

    def _cancel_plain(self, market: Market, name: str, value: str) -> WireRecord:
        return self._write("trade/cancel-order", {"instId": market.symbol, name: value})[1]

    def _cancel_stop(self, market: Market, name: str, value: str) -> WireRecord:
        """A conditional order; where it has triggered, what it became and is open."""
        try:
            return self._write("trade/cancel-algos", [{"instId": market.symbol, name: value}])[1]
        except BrokerError as error:
            if not isinstance(error, (OrderNotFound, OrderAlreadyDone)) and error.code != codes.PERHAPS_TRIGGERED:
                raise
            row = self._stops.row(market, name, value)
            records = [
                self._cancel_plain(market, "ordId", number)
                for number in ([] if row is None else self._stops.open_children(market, row))
            ]
            if not records:
                raise
            return records[-1]

    def arm_dead_man(self, timeout_s: int, *, instrument_id: InstrumentId | None = None) -> bool:
        """As the port has it, for the orders of ours in every instrument: they carry a tag."""
        self.capabilities.dead_man.require_timeout(timeout_s)
        row, _ = self._write("trade/cancel-all-after", {"timeOut": str(timeout_s), "tag": ORDER_TAG})
        is_armed, tag = text(row, "triggerTime") not in ("", "0"), text(row, "tag")
        if is_armed != bool(timeout_s) or tag not in ("", ORDER_TAG):
            raise VerificationFailed(
                f"the dead-man switch of {ORDER_TAG} must be {'on' if timeout_s else 'off'} after setting it, was "
                f"triggerTime {text(row, 'triggerTime')!r} for tag {tag!r}"
            )
        return True

    # -- shared -------------------------------------------------------------------------------------------------
    def _write(self, path: str, fields: Mapping[str, str] | list[Mapping[str, str]]) -> tuple[Row, WireRecord]:
        with self._guard.recording(timeout_s=self._config.write_timeout_s) as record:
            return self._client.write(path, fields), record

    def _read_config(self) -> Row:
        row = _only(self._client.get("account/config"), what="the account's configuration")
        self._account_mode = (mapping.account_mode(row), self._clock.now())
        return row

    def _known_mode(self) -> AccountMode:
        """Account and position mode, at most a minute old: an operator can change both on the site."""
        known = self._account_mode
        if known is None or self._clock.now() - known[1] > ACCOUNT_MODE_AGE_MAX:
            self._read_config()
            known = self._account_mode
        assert known is not None
        return known[0]

    def _balance_row(self) -> Row:
        return _only(self._client.get("account/balance"), what="the balance")

    def _position_rows(self, **query: str) -> Iterator[tuple[Row, Market]]:
        for row in self._client.get("account/positions", **query):
            yield row, self._market(row)

    def _held(self, instrument: Instrument) -> tuple[payloads.Held, ...]:
        rows = self._position_rows(instType=INST_TYPE[instrument.product], instId=instrument.venue_symbol)
        found = [(text(row, "mgnMode"), self._mapped(mapping.position, row, market)) for row, market in rows]
        return tuple(payloads.Held(margin, position.quantity) for margin, position in found if position.quantity)

    def _types_of(self, product: ProductKind | None) -> tuple[str, ...]:
        """OKX's product types under which orders and fills of a product are filed."""
        if product is ProductKind.SPOT:
            return self._known_mode().order_types_of_spot
        return () if product is None else (INST_TYPE[product],)

    def _market(self, row: Row) -> Market:
        return self._book.market(required(row, "instId"), text(row, "instType"))

    def _known_market(self, instrument_id: InstrumentId) -> Market:
        """Of what is traded here, and of what only keeps OKX's name: such orders can be found and cancelled, too."""
        name = instrument_id.value
        if "/" in name or "-" not in name:
            return self._book.known(instrument_id)
        return foreign(name)

    def _contract(self, instrument_id: InstrumentId) -> Market:
        market = market_of(self._book.get(instrument_id))
        if market.product is not ProductKind.LINEAR:
            raise Unsupported(f"{instrument_id} is spot: it has no leverage and no position mode")
        return market

    def _order(self, row: Row) -> Order:
        """An ordinary order; as the conditional order that placed it where that one is followed and shown."""
        if self._stops.note(row) is not None:
            market = self._market(row)
            parent = self._stops.row(market, "algoId", algos.parent_of(row))
            if parent is not None and algos.is_followed(parent):
                return self._stops.of(market, parent)
        return self._plain(row)

    def _plain(self, row: Row) -> Order:
        order: Order = self._mapped(orders.order, row, self._market(row))
        return order

    def _stop_alone(self, row: Row) -> Order:
        order: Order = self._mapped(algos.order, row, self._market(row))
        return order

    def _mapped(self, make: Callable[..., Any], row: Row, market: Market | None) -> Any:
        """Build a value; its own validation failing means that the row was not what is documented."""
        try:
            return make(row, market, account_id=self.account_id)
        except ValueError as error:
            raise AnswerUnreadable(f"{make.__name__} row of {text(row, 'instId')}: {error}") from error


def _only(found: list[Row], *, what: str) -> Row:
    if len(found) != 1:
        raise AnswerUnreadable(f"{what} must be one row, was {len(found)}")
    return found[0]


def _order_id(client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None) -> tuple[str, str]:
    """Our own id where it is known: it is the one that was stored before sending."""
    if client_order_id is not None:
        return "clOrdId", client_order_id.value
    if venue_order_id is not None:
        return "ordId", venue_order_id.value
    raise InvalidOrder("client_order_id or venue_order_id must be given, both were absent")


def _check_payload(prepared: PreparedOrder) -> bool:
    """Whether it is of a conditional order; InvalidOrder when it carries another id than ours."""
    try:
        fields = decode(prepared.payload)
    except ValueError as error:
        raise InvalidOrder(f"prepared payload must be canonical JSON: {error}") from error
    name = "algoClOrdId" if isinstance(fields, dict) and "algoClOrdId" in fields else "clOrdId"
    if not isinstance(fields, dict) or fields.get(name) != prepared.client_order_id.value:
        raise InvalidOrder(f"prepared payload must carry {name} {prepared.client_order_id}")
    return name == "algoClOrdId"
