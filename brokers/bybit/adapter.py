"""Bybit as a `Broker`: every method of the port on one guarded pybit client.

Built by `brokers.factory.open_broker` only. Acknowledgements are asynchronous: what became of an order is read with
`find_order`, never concluded from an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.bybit import dead_man, mapping, orders, payloads
from brokers.bybit.client import BybitClient, classify_for
from brokers.bybit.dead_man import DisconnectionProtection
from brokers.bybit.fields import Row, integer, listed, moment, required, text
from brokers.bybit.instruments import AGE_ASKED_MAX, CATEGORY, PRODUCT, InstrumentBook, Market, market_of
from brokers.bybit.paging import pages, windows
from brokers.bybit.profile import CAPABILITIES
from brokers.capabilities import OrderIdentity
from brokers.clock import EPOCH, Clock
from brokers.config import AccountConfig
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    EnvironmentMismatch,
    InvalidOrder,
    NotModified,
    OrderNotFound,
    PermissionRefused,
    Unsupported,
    VerificationFailed,
)
from brokers.guard import Origin, SendGuard
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
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

_MODE_NUMBER = {PositionMode.ONE_WAY: 0, PositionMode.HEDGE: 3}
MARGIN_MODE_AGE_MAX = timedelta(seconds=60)


class BybitBroker(Broker):
    """One unified trading account at Bybit."""

    def __init__(self, config: AccountConfig, *, base_url: str, clock: Clock) -> None:
        self.account_id = config.account_id
        self.capabilities = replace(CAPABILITIES, dead_man=dead_man.switch_of(config))
        self._config = config
        self._clock = clock
        self._base_url = base_url
        self._guard = SendGuard(
            origins=frozenset({Origin.of(base_url)}),
            classify=classify_for(sets_protection=self.capabilities.dead_man.is_armed_by_us),
            clock=clock,
            timeout_s=config.read_timeout_s,
            secrets=(config.api_key.get_secret_value(), config.api_secret.get_secret_value()),
        )
        self._client = BybitClient(
            base_url=base_url,
            api_key=config.api_key.get_secret_value(),
            api_secret=config.api_secret.get_secret_value(),
            guard=self._guard,
            clock=clock,
        )
        self._book = InstrumentBook(self._instrument_page, products=config.products, clock=clock)
        self._margin_mode: tuple[MarginMode, datetime] | None = None
        self._clock_reading: ClockReading | None = None
        self._protection: DisconnectionProtection | None = None
        if self.capabilities.dead_man.is_armed_by_us:
            self._protection = DisconnectionProtection(
                config,
                base_url=base_url,
                read=lambda: self._result(self._client.query_dcp_info),
                write=lambda **fields: self._write(self._client.set_dcp, **fields),
                clock=clock,
            )

    @property
    def order_requests_sent(self) -> int:
        return self._guard.order_requests_sent

    # -- connection ---------------------------------------------------------------------------------------------
    def connect(self) -> AccountProof:
        """Prove clock, key, rights and account type. A key of another host is told apart by code 10003 alone."""
        reading = self.clock_reading()
        try:
            key = self._result(self._client.get_api_key_information)
        except AuthenticationRefused as error:
            if error.code != "10003":
                raise
            raise EnvironmentMismatch(
                f"Bybit does not know this key at {self._base_url}: production, testnet and demo have separate keys; "
                f"account {self.account_id} must use a key that was made there",
                code=error.code,
                text=error.text,
            ) from error
        expires_at = mapping.expires_at(key)
        if expires_at is not None and expires_at <= reading.venue_time:
            raise AuthenticationRefused(f"the API key of {self.account_id} expired at {expires_at}; make a new one")
        if not mapping.is_unified(key):
            raise PermissionRefused(f"account {self.account_id} is a classic account; upgrade it to unified trading")
        granted = mapping.permissions(key)
        return AccountProof(
            account_id=self.account_id,
            venue_account=required(key, "userID"),
            host=self._base_url,
            key_fingerprint=self._config.key_fingerprint,
            can_trade=not mapping.is_read_only(key) and self._may_trade(granted),
            can_withdraw="Wallet.Withdraw" in granted and not mapping.is_read_only(key),
            permissions=granted,
            margin_mode=self._read_margin_mode(),
            clock=reading,
            expires_at=expires_at,
            extra={
                "ips": ",".join(str(ip) for ip in key.get("ips") or []),
                "is_master": str(mapping.is_master(key)).lower(),
                "note": text(key, "note"),
            },
        )

    def _may_trade(self, granted: tuple[str, ...]) -> bool:
        needed = {ProductKind.SPOT: "Spot.SpotTrade", ProductKind.LINEAR: "ContractTrade.Order"}
        return all(needed[product] in granted for product in self._config.products)

    def clock_reading(self) -> ClockReading:
        before = self._clock.now()
        result = self._result(self._client.get_server_time)
        after = self._clock.now()
        venue_time = EPOCH + timedelta(microseconds=integer(result, "timeNano") // 1000)
        reading = ClockReading.between(before, venue_time, after)
        self._client.offset = reading.offset
        self._clock_reading = reading
        return reading

    def close(self) -> None:
        if self._protection is not None:
            self._protection.close()
        self._client.close()

    # -- market data --------------------------------------------------------------------------------------------
    def instruments(self, ids: Iterable[InstrumentId] | None = None) -> tuple[Instrument, ...]:
        """All from the venue now; those asked for from what was read within a minute."""
        if ids is None:
            return self._book.all()
        return tuple(self._book.get(instrument_id, age_max=AGE_ASKED_MAX) for instrument_id in ids)

    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        """One request per product: by symbol for a single instrument, the whole list for several."""
        markets = [market_of(self._book.get(instrument_id)) for instrument_id in ids]
        found: dict[InstrumentId, Quote] = {}
        for category in sorted({market.category for market in markets}):
            wanted = {market.symbol: market for market in markets if market.category == category}
            only = {"symbol": next(iter(wanted))} if len(wanted) == 1 else {}
            envelope = self._envelope(self._client.get_tickers, category=category, **only)
            time = moment(envelope, "time")
            for row in listed(envelope["result"]):
                market = wanted.get(text(row, "symbol"))
                if market is not None:
                    found[market.instrument_id] = mapping.quote(row, market, time)
        for instrument_id in ids:
            if instrument_id not in found:
                raise AnswerUnreadable(f"the venue's tickers do not show {instrument_id}")
        return tuple(found[instrument_id] for instrument_id in ids)

    # -- account ------------------------------------------------------------------------------------------------
    def balances(self) -> tuple[Balance, ...]:
        mode = self._known_margin_mode()
        wallet, time = self._wallet()
        return tuple(
            mapping.balance(row, account_id=self.account_id, mode=mode, time=time)
            for row in listed(wallet, "coin")
            if mapping.has_money(row)
        )

    def margin_health(self) -> MarginHealth:
        wallet, time = self._wallet()
        return mapping.margin_health(wallet, account_id=self.account_id, time=time)

    def positions(self) -> tuple[Position, ...]:
        found = [self._mapped(mapping.position, row, market) for row, market in self._position_rows()]
        return tuple(position for position in found if position.quantity)

    def profit_and_loss(self) -> tuple[ProfitAndLoss, ...]:
        """Of instruments with an open position; Bybit totals closed ones only trade by trade."""
        found = list(self._position_rows())
        return mapping.profit_and_loss(found, account_id=self.account_id, time=self._client.venue_now())

    def leverage(self, instrument_id: InstrumentId) -> LeverageInfo:
        market = self._contract(instrument_id)
        result = self._result(self._client.get_positions, category=market.category, symbol=market.symbol)
        return mapping.leverage_info(listed(result), market, self._known_margin_mode())

    def set_leverage(self, instrument_id: InstrumentId, leverage: Decimal) -> LeverageInfo:
        """Both sides get the same leverage; VerificationFailed when the venue shows another afterwards."""
        market = self._contract(instrument_id)
        require_leverage(leverage, self._book.get(instrument_id))
        wanted = decimal_text(leverage)
        with suppress(NotModified):  # it was so already; the reading below is the proof
            self._write(
                self._client.set_leverage,
                category=market.category,
                symbol=market.symbol,
                buyLeverage=wanted,
                sellLeverage=wanted,
            )
        found = self.leverage(instrument_id)
        if (found.long_leverage, found.short_leverage) != (leverage, leverage):
            raise VerificationFailed(
                f"leverage of {instrument_id} must read {wanted} after setting it, "
                f"was long {found.long_leverage}, short {found.short_leverage}"
            )
        return found

    def set_position_mode(self, instrument_id: InstrumentId, mode: PositionMode) -> LeverageInfo:
        """The venue refuses while a position or an order is open; VerificationFailed when another mode reads back."""
        market = self._contract(instrument_id)
        with suppress(NotModified):
            self._write(
                self._client.switch_position_mode,
                category=market.category,
                symbol=market.symbol,
                mode=_MODE_NUMBER[mode],
            )
        found = self.leverage(instrument_id)
        if found.position_mode is not mode:
            raise VerificationFailed(
                f"position mode of {instrument_id} must read {mode} after setting it, was {found.position_mode}"
            )
        return found

    # -- orders: reads ------------------------------------------------------------------------------------------
    def find_order(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> Order | None:
        market = self._book.known(instrument_id)
        wanted = _order_filter(client_order_id, venue_order_id)
        for read, scope in ((self._client.get_open_orders, _scope_of(market)), (self._client.get_order_history, {})):
            found = listed(self._result(read, category=market.category, **wanted, **scope))
            for row in found:
                if all(text(row, name) == value for name, value in wanted.items()):
                    return self._order(market.product, row)
            if found:
                raise AnswerUnreadable(f"asked for the order {wanted}, the venue showed others only")
        return None

    def open_orders(self) -> tuple[Order, ...]:
        found: dict[str, Order] = {}
        for product in sorted(self._config.products):
            scopes: list[dict[str, str]] = [{}]
            if product is ProductKind.LINEAR:
                scopes = [{"settleCoin": currency} for currency in self._config.settle_currencies]
            for scope in scopes:
                read = self._paged(self._client.get_open_orders)
                for row in pages(read, category=CATEGORY[product], openOnly=0, limit=50, **scope):
                    found[required(row, "orderId")] = self._order(product, row)
        return tuple(order for order in found.values() if order.status.is_open)

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        """Orders created in `since <= time < until` that are over; unfilled ones are shown for 24 hours only."""
        found: dict[str, Order] = {}
        for product, row in self._history(self._client.get_order_history, since, until, limit=50):
            order = self._order(product, row)
            if not order.status.is_open:
                found[order.venue_order_id.value] = order
        return tuple(sorted(found.values(), key=lambda order: (order.created_at, order.venue_order_id)))

    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        """Executions in `since <= time < until`; AnswerUnreadable when two orders show one trade id."""
        known = self._book.known(instrument_id) if instrument_id else None
        market = (
            known if known is not None and known.is_listed else None
        )  # the name of what is no longer listed may be refused: all are read
        found: dict[str, Fill] = {}
        for product, row in self._history(self._client.get_executions, since, until, limit=100, market=market):
            if orders.is_fill(row):
                where = self._book.market(product, required(row, "symbol"))
                fill = self._mapped(orders.fill, row, where)
                first = found.setdefault(f"{where.symbol} {fill.trade_id}", fill)
                if first.venue_order_id != fill.venue_order_id:
                    raise AnswerUnreadable(
                        f"execution {fill.trade_id} of {where.symbol} is shown for the orders {first.venue_order_id} "
                        f"and {fill.venue_order_id}; one trade id must name one fill"
                    )
        is_chosen_here = known is not None and not known.is_listed
        wanted = [fill for fill in found.values() if not is_chosen_here or fill.instrument_id == instrument_id]
        return tuple(sorted(wanted, key=lambda fill: (fill.time, fill.venue_order_id, fill.trade_id)))

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        """Transaction-log rows in `since <= time < until`; AnswerUnreadable when one id shows two changes."""
        found: dict[str, CashEvent] = {}
        read = self._paged(self._client.get_transaction_log)
        for start, end in windows(since, until, now=self._client.venue_now()):
            for row in pages(read, accountType="UNIFIED", startTime=start, endTime=end, limit=50):
                event = self._mapped(orders.cash_event, row, self._market_of_log_row(row))
                known = found.setdefault(event.event_id, event)
                if known != event:
                    raise AnswerUnreadable(
                        f"transaction {event.event_id} is shown with {known.amount} and with {event.amount} "
                        f"{event.currency}; one id must name one change of the wallet"
                    )
        events = list(found.values())
        events.reverse()  # Bybit lists newest first: this keeps the order of rows within one millisecond
        events.sort(key=lambda event: event.time)
        return tuple(events)

    # -- orders: writes -----------------------------------------------------------------------------------------
    def identity(self, instrument_id: InstrumentId) -> OrderIdentity:
        product = ProductKind.LINEAR if ":" in instrument_id.value else ProductKind.SPOT
        return self.capabilities.identity[product]

    def prepare_order(self, request: OrderRequest, client_order_id: ClientOrderId) -> PreparedOrder:
        """No order leaves here; the instrument is read from the venue when it is not known yet."""
        return payloads.prepare(request, self._book.get(request.instrument_id), client_order_id)

    def place(self, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        parameters = _parameters(prepared)
        if self._clock_reading is None:
            self.clock_reading()  # not_after is venue time: without an offset the deadline would mean nothing
        with self._guard.sending(ticket, sha256=prepared.sha256):
            return orders.ack(self._client.place_order(**parameters), prepared.client_order_id)

    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        """Cancel by id. On spot Bybit looks among active orders only unless told otherwise ("Cancel Order",
        `orderFilter`): what is not there is looked for among the conditional orders that have not triggered, and among
        the take-profit and stop-loss orders that a person left."""
        market = self._book.known(instrument_id)
        wanted = _order_filter(client_order_id, venue_order_id)
        try:
            return self._cancel(market, **wanted)
        except OrderNotFound:
            if market.product is not ProductKind.SPOT:
                raise
        try:
            return self._cancel(market, orderFilter="StopOrder", **wanted)
        except OrderNotFound:
            return self._cancel(market, orderFilter="tpslOrder", **wanted)

    def arm_dead_man(self, timeout_s: int, *, instrument_id: InstrumentId | None = None) -> bool:
        """As the port has it, for everybody's orders of the account's products. Closing takes nothing back: it is what
        Bybit begins to count from, as it does when the process ends."""
        protection = self._protection
        if protection is None:
            return super().arm_dead_man(timeout_s, instrument_id=instrument_id)
        self.capabilities.dead_man.require_timeout(timeout_s, takes_back=False)
        if self._clock_reading is None:
            self.clock_reading()  # the login of the websocket ends at a moment of the venue's time
        return protection.keep(timeout_s, offset=self._client.offset)

    def _cancel(self, market: Market, **wanted: str) -> WireRecord:
        with self._guard.recording(timeout_s=self._config.write_timeout_s) as record:
            self._envelope(self._client.cancel_order, category=market.category, symbol=market.symbol, **wanted)
        return record

    # -- shared -------------------------------------------------------------------------------------------------
    def _envelope(self, call: Callable[..., Any], **parameters: Any) -> dict[str, Any]:
        """Make one call; whatever is not a BrokerError is an answer that the SDK could not handle."""
        try:
            envelope: dict[str, Any] = call(**parameters)
        except BrokerError:
            raise
        except Exception as error:
            raise AnswerUnreadable(f"{call.__name__}: {type(error).__name__}: {error}"[:300]) from error
        return envelope

    def _result(self, call: Callable[..., Any], **parameters: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._envelope(call, **parameters)["result"]
        return result

    def _write(self, call: Callable[..., Any], **parameters: Any) -> None:
        with self._guard.recording(timeout_s=self._config.write_timeout_s):
            self._envelope(call, **parameters)

    def _paged(self, call: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
        return lambda **parameters: self._result(call, **parameters)

    def _instrument_page(self, **parameters: Any) -> dict[str, Any]:
        return self._result(self._client.get_instruments_info, **parameters)

    def _mapped(self, make: Callable[..., Any], row: Row, market: Market | None) -> Any:
        """Build a value; its own validation failing means that the row was not what is documented."""
        try:
            return make(row, market, account_id=self.account_id)
        except ValueError as error:
            raise AnswerUnreadable(f"{make.__name__} row of {text(row, 'symbol')}: {error}") from error

    def _order(self, product: ProductKind, row: Row) -> Order:
        order: Order = self._mapped(orders.order, row, self._book.market(product, required(row, "symbol")))
        return order

    def _history(
        self, call: Callable[..., Any], since: datetime, until: datetime, *, limit: int, market: Market | None = None
    ) -> Iterable[tuple[ProductKind, Row]]:
        products = [market.product] if market else sorted(self._config.products)
        only = {"symbol": market.symbol} if market else {}
        read = self._paged(call)
        for product in products:
            for start, end in windows(since, until, now=self._client.venue_now()):
                found = pages(read, category=CATEGORY[product], startTime=start, endTime=end, limit=limit, **only)
                yield from ((product, row) for row in found)

    def _position_rows(self) -> Iterable[tuple[Row, Market]]:
        if ProductKind.LINEAR not in self._config.products:
            return
        read = self._paged(self._client.get_positions)
        for currency in self._config.settle_currencies:
            for row in pages(read, category="linear", settleCoin=currency, limit=200):
                yield row, self._book.market(ProductKind.LINEAR, required(row, "symbol"))

    def _market_of_log_row(self, row: Row) -> Market | None:
        product = PRODUCT.get(text(row, "category"))
        symbol = text(row, "symbol")
        return self._book.market(product, symbol) if product and symbol else None

    def _contract(self, instrument_id: InstrumentId) -> Market:
        market = market_of(self._book.get(instrument_id))
        if market.product is not ProductKind.LINEAR:
            raise Unsupported(f"{instrument_id} is spot: it has no leverage and no position mode")
        return market

    def _wallet(self) -> tuple[Row, datetime]:
        envelope = self._envelope(self._client.get_wallet_balance, accountType="UNIFIED")
        accounts = listed(envelope["result"])
        if len(accounts) != 1:
            raise AnswerUnreadable(f"wallet-balance must show one unified account, showed {len(accounts)}")
        return accounts[0], moment(envelope, "time")

    def _read_margin_mode(self) -> MarginMode:
        mode = mapping.margin_mode(self._result(self._client.get_account_info))
        self._margin_mode = (mode, self._clock.now())
        return mode

    def _known_margin_mode(self) -> MarginMode:
        """The account's margin mode, at most a minute old: an operator can change it on the site."""
        known = self._margin_mode
        if known is not None and self._clock.now() - known[1] <= MARGIN_MODE_AGE_MAX:
            return known[0]
        return self._read_margin_mode()


def _scope_of(market: Market) -> dict[str, str]:
    """What a reading of open orders in contracts must name beside an id ("Get Open & Closed Orders": "either symbol,
    baseCoin, settleCoin is required"): the symbol, or its currency where the name may be refused."""
    if market.product is ProductKind.SPOT:
        return {}
    return {"symbol": market.symbol} if market.is_listed else {"settleCoin": market.settle}


def _order_filter(client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None) -> dict[str, str]:
    """Our own id where it is known: it is the one that was stored before sending."""
    if client_order_id is not None:
        return {"orderLinkId": client_order_id.value}
    if venue_order_id is not None:
        return {"orderId": venue_order_id.value}
    raise InvalidOrder("client_order_id or venue_order_id must be given, both were absent")


def _parameters(prepared: PreparedOrder) -> dict[str, Any]:
    try:
        parameters = decode(prepared.payload)
    except ValueError as error:
        raise InvalidOrder(f"prepared payload must be canonical JSON: {error}") from error
    if not isinstance(parameters, dict) or parameters.get("orderLinkId") != prepared.client_order_id.value:
        raise InvalidOrder(f"prepared payload must carry orderLinkId {prepared.client_order_id}")
    return parameters
