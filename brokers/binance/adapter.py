"""Binance as a `Broker`: Spot and USDⓈ-M Futures of one account on one guarded python-binance client.

Built by `brokers.factory.open_broker` only. An answer to a placement is the order as it stands in the engine, but what
became of it later is read with `find_order`. Ids are unique among open orders only: nothing here ever sends again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from brokers.binance import algos, dead_man, mapping, orders, payloads, wallet
from brokers.binance.account import Account, ask
from brokers.binance.client import BinanceClient, classify_for, committed_part
from brokers.binance.conditionals import ROWS_MAX, Conditionals, found
from brokers.binance.fields import form, row_of, rows_of
from brokers.binance.instruments import InstrumentBook, Market, market_of, named
from brokers.binance.paging import by, pages, windows
from brokers.binance.profile import CAPABILITIES, FUTURES, LIST_BYTES_MAX, product_of, serves_wallet
from brokers.capabilities import OrderIdentity
from brokers.clock import Clock
from brokers.config import AccountConfig, require_listed
from brokers.errors import (
    AnswerUnreadable,
    BrokerError,
    EnvironmentMismatch,
    InvalidOrder,
    NotModified,
    NotSent,
    OrderNotFound,
    Unsupported,
    VerificationFailed,
)
from brokers.fields import Row, from_ms, integer, required, text
from brokers.guard import Origin, SendGuard
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.rounding import decimal_text
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

_ASKED_ONE_BY_ONE = 5  # orders; more of them are read as one list
_MARGIN_TYPES = {MarginMode.CROSS: "CROSSED", MarginMode.ISOLATED: "ISOLATED"}


class BinanceBroker(Broker):
    """One account at Binance. What is asked of one instrument goes to its product, the rest to each one configured."""

    def __init__(self, config: AccountConfig, *, base_url: str, clock: Clock) -> None:
        self.account_id = config.account_id
        self.capabilities = replace(CAPABILITIES.of_products(config.products), dead_man=dead_man.switch_of(config))
        self._config = config
        self._clock = clock
        _require_products(config)
        futures_url = CAPABILITIES.other_url(
            FUTURES, environment=config.account_id.environment, host=config.host, base_url=base_url
        )
        self._guard = SendGuard(
            origins=frozenset({Origin.of(base_url), Origin.of(futures_url)}),
            classify=classify_for(
                serves_wallet=serves_wallet(config.account_id.environment),
                winds_countdown=self.capabilities.dead_man.is_armed_by_us,
            ),
            clock=clock,
            timeout_s=config.read_timeout_s,
            secrets=(config.api_key.get_secret_value(), config.api_secret.get_secret_value()),
            committed_part=committed_part,
        )
        self._client = BinanceClient(
            spot_url=base_url,
            futures_url=futures_url,
            api_key=config.api_key.get_secret_value(),
            api_secret=config.api_secret.get_secret_value(),
            guard=self._guard,
            clock=clock,
        )
        self._book = InstrumentBook(self._exchange_info, products=config.products, clock=clock)
        self._account = Account(config, client=self._client, book=self._book, base_url=base_url)
        self._stops = Conditionals(self._client, account_id=config.account_id)
        self._is_timed = False

    @property
    def order_requests_sent(self) -> int:
        return self._guard.order_requests_sent

    # -- connection ---------------------------------------------------------------------------------------------
    def connect(self) -> AccountProof:
        """Prove clock, key and what both may do. See `Account.proof` for what no answer of a test network shows."""
        return self._account.proof(self.clock_reading())

    def clock_reading(self) -> ClockReading:
        read = self._client.get_server_time if self._has(ProductKind.SPOT) else self._client.futures_time
        before = self._clock.now()
        answer = row_of(ask(read), "time")
        after = self._clock.now()
        reading = ClockReading.between(before, from_ms(integer(answer, "serverTime"), "serverTime"), after)
        self._client.offset = reading.offset
        self._is_timed = True
        return reading

    def close(self) -> None:
        self._client.close()

    # -- market data --------------------------------------------------------------------------------------------
    def instruments(self, ids: Iterable[InstrumentId] | None = None) -> tuple[Instrument, ...]:
        return self._book.all() if ids is None else self._book.some(ids)

    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        """Two requests per product: best prices and last prices, of one symbol or of all."""
        markets = [market_of(item) for item in self._book.some(ids)]
        found: dict[InstrumentId, Quote] = {}
        for product in sorted({market.product for market in markets}):
            wanted = {market.symbol: market for market in markets if market.product is product}
            only = {"symbol": next(iter(wanted))} if len(wanted) == 1 else {}
            is_spot, client = product is ProductKind.SPOT, self._client
            last = ask(client.get_symbol_ticker if is_spot else client.futures_symbol_ticker, **only)
            books = ask(client.get_orderbook_ticker if is_spot else client.futures_orderbook_ticker, **only)
            time = client.venue_now()
            prices = {text(row, "symbol"): row for row in rows_of(last, "ticker/price")}
            for row in rows_of(books, "bookTicker"):
                market = wanted.get(text(row, "symbol"))
                if market is not None and market.symbol in prices:
                    found[market.instrument_id] = mapping.quote(row, prices[market.symbol], market, time)
        for instrument_id in ids:
            if instrument_id not in found:
                raise AnswerUnreadable(f"the venue's tickers do not show {instrument_id}")
        return tuple(found[instrument_id] for instrument_id in ids)

    # -- account ------------------------------------------------------------------------------------------------
    def balances(self) -> tuple[Balance, ...]:
        return self._account.balances()

    def margin_health(self) -> MarginHealth:
        return self._account.margin_health()

    def positions(self) -> tuple[Position, ...]:
        return self._account.positions()

    def profit_and_loss(self) -> tuple[ProfitAndLoss, ...]:
        raise Unsupported(
            "Binance totals realised profit of no instrument: it is told trade by trade, in fills and wallet changes"
        )

    def leverage(self, instrument_id: InstrumentId) -> LeverageInfo:
        return self._account.leverage(self._contract(instrument_id))

    def set_leverage(self, instrument_id: InstrumentId, leverage: Decimal) -> LeverageInfo:
        """Both legs share one leverage; VerificationFailed when the venue shows another afterwards."""
        market = self._contract(instrument_id)
        if not leverage.is_finite() or leverage < 1 or leverage != leverage.to_integral_value():
            raise InvalidOrder(f"leverage of {instrument_id} must be a whole number of at least 1, was {leverage}")
        wanted = decimal_text(leverage)
        self._write(self._client.futures_change_leverage, symbol=market.symbol, leverage=wanted)
        found = self._account.leverage(market)
        if (found.long_leverage, found.short_leverage) != (leverage, leverage):
            raise VerificationFailed(
                f"leverage of {instrument_id} must read {wanted} after setting it, was {found.long_leverage}"
            )
        return found

    def set_margin_mode(self, instrument_id: InstrumentId, mode: MarginMode) -> LeverageInfo:
        """Of one symbol. The venue refuses while a position or an order in it is open."""
        market = self._contract(instrument_id)
        if mode not in _MARGIN_TYPES:
            raise Unsupported(f"margin mode of {instrument_id} must be cross or isolated, was {mode}")
        self._write(self._client.futures_change_margin_type, symbol=market.symbol, marginType=_MARGIN_TYPES[mode])
        found = self._account.leverage(market)
        if found.margin_mode is not mode:
            raise VerificationFailed(
                f"margin mode of {instrument_id} must read {mode} after setting it, was {found.margin_mode}"
            )
        return found

    def set_position_mode(self, instrument_id: InstrumentId, mode: PositionMode) -> LeverageInfo:
        """Of the whole account, every contract in it. The venue refuses while a position or an order is open."""
        market = self._contract(instrument_id)
        wanted = "true" if mode is PositionMode.HEDGE else "false"
        self._write(self._client.futures_change_position_mode, dualSidePosition=wanted)
        found = self._account.leverage(market)
        if found.position_mode is not mode:
            raise VerificationFailed(
                f"position mode of {self.account_id} must read {mode} after setting it, was {found.position_mode}"
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
        """One look-up shows open orders and history. An order that the venue has archived is not an absent one.

        By our id an order in a contract is absent only if neither the engine nor the algo service has it.
        """
        market = self._market(instrument_id)
        if client_order_id is None and venue_order_id is not None and algos.is_algo(venue_order_id):
            return self._stops.find(market, venue_order_id=venue_order_id)
        waiting = None if market.is_spot else client_order_id
        if waiting is not None and self._stops.is_sent(waiting):
            return self._stops.find(market, client_order_id=waiting)
        wanted = _order_filter(market, client_order_id, venue_order_id)
        read = self._client.get_order if market.is_spot else self._client.futures_get_order
        row = found(read, symbol=market.symbol, **wanted)
        if row is None:
            return None if waiting is None else self._stops.find(market, client_order_id=waiting)
        shown = {"origClientOrderId": text(row, "clientOrderId"), "orderId": text(row, "orderId")}
        if text(row, "symbol") != market.symbol or any(shown[name] != value for name, value in wanted.items()):
            raise AnswerUnreadable(
                f"asked for the order {wanted} of {market.symbol}, the venue showed another: {shown}"
            )
        return self._order(row, market)

    def open_orders(self) -> tuple[Order, ...]:
        """Of every symbol, listed or not, in one request per product, and one for futures' conditional orders."""
        found: dict[VenueOrderId, Order] = {}
        if self._has(ProductKind.LINEAR):  # first, so that one which triggers meanwhile shows as what it became
            for row in self._stops.open_rows():
                order = self._stops.open_row(row, self._book.market(ProductKind.LINEAR, required(row, "symbol")))
                found[order.venue_order_id] = order
        for product in sorted(self._config.products):
            is_spot = product is ProductKind.SPOT
            read = self._client.get_open_orders if is_spot else self._client.futures_get_open_orders
            for row in rows_of(ask(read), "openOrders"):
                order = self._order(row, self._book.market(product, required(row, "symbol")))
                found[order.venue_order_id] = order
        return tuple(order for order in found.values() if order.status.is_open)

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        """Orders of the account's instruments that were created in `since <= time < until` and are over."""
        found: dict[VenueOrderId, Order] = {}
        for market in self._listed():
            for order in self._orders_of(market, since, until):
                if not order.status.is_open and since <= order.created_at < until:
                    found[order.venue_order_id] = order
        return tuple(sorted(found.values(), key=lambda order: (order.created_at, order.venue_order_id)))

    def _orders_of(self, market: Market, since: datetime, until: datetime) -> Iterable[Order]:
        """A symbol's orders of a window; of a contract those of the algo service and those of the engine as one."""
        client = self._client
        if market.is_spot:
            found = self._history(client.get_all_orders, market, since, until, identity=by("orderId"))
            return (self._order(row, market) for row in found)
        waiting = self._history(
            client.futures_get_all_algo_orders, market, since, until, identity=by("algoId"), limit=ROWS_MAX
        )
        taken = self._history(client.futures_get_all_orders, market, since, until, identity=by("orderId"))
        return self._stops.history(list(waiting), list(taken), market)

    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        """Trades in `since <= time < until` of the instrument, or of each that the account lists."""
        found: dict[str, Fill] = {}
        for market in [self._market(instrument_id)] if instrument_id else self._listed():
            for fill in self._fills_of(market, since, until):
                known = found.setdefault(fill.trade_id.value, fill)
                if known.venue_order_id != fill.venue_order_id:
                    raise AnswerUnreadable(
                        f"trade {fill.trade_id} is shown for the orders {known.venue_order_id} and "
                        f"{fill.venue_order_id}; one trade id must name one fill"
                    )
        return tuple(sorted(found.values(), key=lambda fill: (fill.time, fill.venue_order_id, fill.trade_id)))

    def _fills_of(self, market: Market, since: datetime, until: datetime) -> Iterator[Fill]:
        """A symbol's fills; of a contract each under the order that it belongs to, which its row does not tell."""
        is_spot, client = market.is_spot, self._client
        read = client.get_my_trades if is_spot else client.futures_account_trades
        rows = list(self._history(read, market, since, until, identity=by("id", "orderId")))
        if not is_spot and len(self._stops.unknown(market, (text(row, "orderId") for row in rows))) > _ASKED_ONE_BY_ONE:
            taken = self._history(client.futures_get_all_orders, market, since, until, identity=by("orderId"))
            self._stops.note(taken, market)
        for row in rows:
            fill: Fill = self._mapped(orders.fill, row, market)
            owner = fill.venue_order_id if is_spot else self._stops.owner(market, text(row, "orderId"), fill.time)
            yield replace(fill, venue_order_id=owner)

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        """Income rows of futures in `since <= time < until`; Unsupported for an account that trades spot too."""
        if not self.capabilities.cash_events:
            raise Unsupported(
                "Binance shows all wallet changes of futures only: of spot it tells deposits and withdrawals (/sapi)"
            )
        return self.partial_cash_events(since=since, until=until)

    def partial_cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        """Income rows of futures in `since <= time < until`, and what came into and left the spot wallet.

        Where the account has both, a transfer between them is told with both of its sides. The spot wallet's changes
        are told where the environment serves Binance's wallet API, and not all of them: see `wallet`.
        """
        found: dict[str, CashEvent] = {}
        if self._has(ProductKind.SPOT) and serves_wallet(self.account_id.environment):
            for event in wallet.changes(self._client, since=since, until=until, account_id=self.account_id):
                found.setdefault(event.event_id, event)
        if self._has(ProductKind.LINEAR):
            for event in self._income(since, until):
                known = found.setdefault(event.event_id, event)
                if known != event:
                    raise AnswerUnreadable(
                        f"income {event.event_id} is shown with {known.amount} and with {event.amount} "
                        f"{event.currency}; one id must name one change of the wallet"
                    )
        return tuple(sorted(found.values(), key=lambda event: event.time))

    def _income(self, since: datetime, until: datetime) -> Iterator[CashEvent]:
        for start, end in windows(ProductKind.LINEAR, since, until, now=self._client.venue_now()):
            read = _asking(self._client.futures_income_history)
            for row in pages(read, start=start, end=end, identity=by("incomeType", "tranId", "asset", "income")):
                symbol = text(row, "symbol")
                market = self._book.market(ProductKind.LINEAR, symbol) if symbol else None
                event: CashEvent = self._mapped(orders.cash_event, row, market)
                yield from orders.both_sides(event) if self._has(ProductKind.SPOT) else (event,)

    # -- orders: writes -----------------------------------------------------------------------------------------
    def identity(self, instrument_id: InstrumentId) -> OrderIdentity:
        return self.capabilities.identity[product_of(instrument_id.value)]

    def prepare_order(self, request: OrderRequest, client_order_id: ClientOrderId) -> PreparedOrder:
        """No order leaves here; the instrument is read from the venue when it is not known yet."""
        require_listed(self._config, request.instrument_id)
        return payloads.prepare(request, self._book.get(request.instrument_id), client_order_id)

    def place(self, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        """Send once. Nothing is asked of the venue on the way but, once, its clock."""
        parameters = _parameters(prepared)
        market = named(prepared.request.instrument_id, parameters["symbol"])
        self._require_time()
        acknowledged = orders.ack
        send = self._client.create_order if market.is_spot else self._client.futures_create_order
        if payloads.is_conditional(parameters):
            acknowledged, send = algos.ack, self._client.futures_create_algo_order
            self._stops.note_sent(prepared.client_order_id)
        with self._guard.sending(ticket, sha256=prepared.sha256):
            return acknowledged(row_of(ask(send, **parameters), "order"), market, prepared.client_order_id)

    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        """A conditional order is ended wherever it is: in the algo service, or in the engine since it triggered."""
        market = self._market(instrument_id)
        if venue_order_id is not None and algos.is_algo(venue_order_id):
            with self._guard.recording(timeout_s=self._config.write_timeout_s) as record:
                self._stops.cancel(market, venue_order_id=venue_order_id)
            return record
        wanted = _order_filter(market, client_order_id, venue_order_id)
        send = self._client.cancel_order if market.is_spot else self._client.futures_cancel_order
        with self._guard.recording(timeout_s=self._config.write_timeout_s) as record:
            try:
                ask(send, symbol=market.symbol, **wanted)
            except OrderNotFound:
                if market.is_spot or client_order_id is None or venue_order_id is not None:
                    raise
                self._stops.cancel(market, client_order_id=client_order_id)
        return record

    def arm_dead_man(self, timeout_s: int, *, instrument_id: InstrumentId | None = None) -> bool:
        """As the port has it, for everybody's orders in one contract. 0 takes its countdown back."""
        switch = self.capabilities.dead_man
        if not switch.is_armed_by_us:
            return super().arm_dead_man(timeout_s, instrument_id=instrument_id)
        switch.require_timeout(timeout_s)
        if instrument_id is None:
            raise InvalidOrder("instrument_id must be given: Binance counts down one symbol at a time, was absent")
        market = self._market(instrument_id)
        if market.is_spot:
            raise Unsupported(f"dead-man switch of {instrument_id}: Binance has none for spot orders")
        countdown_ms, send = timeout_s * 1000, self._client.futures_countdown_cancel_all
        with self._guard.recording(timeout_s=self._config.write_timeout_s):
            answer = ask(send, symbol=market.symbol, countdownTime=countdown_ms)
        dead_man.require_wound(answer, symbol=market.symbol, countdown_ms=countdown_ms)
        return True

    def _require_time(self) -> None:
        """not_after is venue time: without an offset the deadline would mean nothing. What fails here sends nothing."""
        if self._is_timed:
            return
        try:
            self.clock_reading()
        except NotSent:
            raise
        except BrokerError as error:
            raise NotSent(f"nothing was sent: the venue's clock could not be read: {error.message}") from error

    # -- shared -------------------------------------------------------------------------------------------------
    def _has(self, product: ProductKind) -> bool:
        return product in self._config.products

    def _exchange_info(self, product: ProductKind, symbol: str) -> Any:
        with self._guard.recording(answer_bytes_max=LIST_BYTES_MAX):
            if product is ProductKind.SPOT:
                return ask(self._client.exchange_info, symbol=symbol)
            return ask(self._client.futures_exchange_info)

    def _write(self, call: Callable[..., Any], **parameters: Any) -> None:
        """A setter. "It was so already" is success: the reading that follows is the proof."""
        with self._guard.recording(timeout_s=self._config.write_timeout_s), suppress(NotModified):
            ask(call, **parameters)

    def _history(
        self,
        call: Callable[..., Any],
        market: Market,
        since: datetime,
        until: datetime,
        *,
        identity: Callable[[Row], str],
        limit: int | None = None,
    ) -> Iterable[Row]:
        for start, end in windows(market.product, since, until, now=self._client.venue_now()):
            found = pages(_asking(call), start=start, end=end, identity=identity, limit=limit, symbol=market.symbol)
            for row in found:
                if text(row, "symbol") != market.symbol:
                    raise AnswerUnreadable(f"asked for {market.symbol}, the venue showed {text(row, 'symbol')!r} too")
                yield row

    def _listed(self) -> list[Market]:
        return self._book.histories(sorted(self._config.instruments))

    def _market(self, instrument_id: InstrumentId) -> Market:
        """Listed or not: for looking up orders and fills, and for cancelling."""
        return self._book.known(instrument_id)

    def _contract(self, instrument_id: InstrumentId) -> Market:
        market = market_of(self._book.get(instrument_id))
        if market.is_spot:
            raise Unsupported(f"{instrument_id} is spot: it has no leverage, no margin mode and no position mode")
        return market

    def _mapped(self, make: Callable[..., Any], row: Row, market: Market | None) -> Any:
        """Build a value; its own validation failing means that the row was not what is documented."""
        try:
            return make(row, market, account_id=self.account_id)
        except ValueError as error:
            raise AnswerUnreadable(f"{make.__name__} row of {text(row, 'symbol')}: {error}") from error

    def _order(self, row: Row, market: Market) -> Order:
        if not market.is_spot:
            return self._stops.engine_row(row, market)
        order: Order = self._mapped(orders.order, row, market)
        return order


def _asking(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **parameters: ask(call, **parameters)


def _require_products(config: AccountConfig) -> None:
    """Each listed instrument must be of a product that the account is configured for."""
    for instrument_id in config.instruments:
        product = product_of(instrument_id.value)
        if product not in config.products:
            raise EnvironmentMismatch(
                f"instruments of {config.account_id} name {instrument_id}, which is {product}; its products are "
                f"{', '.join(sorted(config.products))}: add the product, or leave the instrument out"
            )


def _order_filter(
    market: Market, client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None
) -> dict[str, str]:
    """Our own id where it is known: it is the one that was stored before sending."""
    if client_order_id is not None:
        return {"origClientOrderId": client_order_id.value}
    if venue_order_id is not None:
        return {"orderId": orders.order_id_of(venue_order_id, market)}
    raise InvalidOrder("client_order_id or venue_order_id must be given, both were absent")


def _parameters(prepared: PreparedOrder) -> dict[str, str]:
    """The frozen form as parameters; whatever would be written another way is refused before it is signed."""
    parameters = dict(parse_qsl(prepared.payload, keep_blank_values=True))
    if form(parameters) != prepared.payload:
        raise InvalidOrder(f"prepared payload must be a canonical form, was {prepared.payload[:200]!r}")
    carried = parameters.get("newClientOrderId")
    if payloads.is_conditional(parameters):
        carried = parameters.get("clientAlgoId", "").removeprefix(algos.MARK)
    if "symbol" not in parameters or carried != prepared.client_order_id.value:
        raise InvalidOrder(f"prepared payload must carry a symbol and the client order id {prepared.client_order_id}")
    return parameters
