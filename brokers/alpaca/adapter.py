"""Alpaca as a `Broker`: every method of the port on one guarded alpaca-py client.

Built by `brokers.factory.open_broker` only. Acknowledgements are asynchronous: what became of an order is read with
`find_order`, never concluded from an answer. What Alpaca does not have (leverage, hedge mode, realised profit by
instrument) is Unsupported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote as quoted

from brokers.alpaca import activities, mapping, orders, paging, payloads
from brokers.alpaca.client import AlpacaClient, as_object, as_rows, classify
from brokers.alpaca.fields import Row, required, text
from brokers.alpaca.instruments import InstrumentBook
from brokers.alpaca.mapping import MarketClock, TradingDay
from brokers.alpaca.paging import written
from brokers.alpaca.profile import (
    ASSETS_BYTES_MAX,
    CAPABILITIES,
    DATA,
    LIVE_KEY,
    PAPER_ACCOUNT,
    PAPER_KEY,
    product_of,
)
from brokers.capabilities import OrderIdentity
from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    EnvironmentMismatch,
    InvalidOrder,
    OrderNotFound,
    PermissionRefused,
    Unsupported,
    VenueUnavailable,
)
from brokers.guard import Origin, SendGuard
from brokers.ids import ClientOrderId, Environment, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.strictjson import decode
from brokers.types import (
    ZERO,
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

T = TypeVar("T")
QUOTES_MAX = 200  # symbols of one request
POSTED_LATE = timedelta(days=8)  # a fee is posted days after the date that it is for, and lists go by that date
_MARGIN = timedelta(seconds=60)
_SECOND = timedelta(seconds=1)


class AlpacaBroker(Broker):
    """One account at Alpaca."""

    capabilities = CAPABILITIES

    def __init__(self, config: AccountConfig, *, base_url: str, clock: Clock) -> None:
        self.account_id = config.account_id
        self._config = config
        self._clock = clock
        self._base_url = base_url
        _require_environment(config)
        data_url = data_url_of(config, base_url)
        key, secret = config.api_key.get_secret_value(), config.api_secret.get_secret_value()
        self._guard = SendGuard(
            origins=frozenset({Origin.of(base_url), Origin.of(data_url)}),
            classify=classify,
            clock=clock,
            timeout_s=config.read_timeout_s,
            secrets=(key, secret),
        )
        self._client = AlpacaClient(
            base_url=base_url, data_url=data_url, api_key=key, api_secret=secret, guard=self._guard
        )
        self._book = InstrumentBook(self._read_assets, products=config.products, clock=clock)
        self._offset = timedelta(0)

    @property
    def order_requests_sent(self) -> int:
        return self._guard.order_requests_sent

    # -- connection ---------------------------------------------------------------------------------------------
    def connect(self) -> AccountProof:
        """Prove clock, key, account and environment. A wrong key and a key of the other environment answer alike."""
        reading = self.clock_reading()
        account = self._account()
        number = required(account, "account_number")
        _require_account(self._config, number)
        withdraws, note = self._withdrawals()
        return AccountProof(
            account_id=self.account_id,
            venue_account=number,
            host=self._base_url,
            key_fingerprint=self._config.key_fingerprint,
            can_trade=mapping.may_trade(account),
            can_withdraw=withdraws,
            permissions=("account", "trading", "data"),  # a key has no rights of its own
            margin_mode=mapping.margin_mode(account),
            clock=reading,
            extra={
                "status": text(account, "status"),
                "crypto_status": text(account, "crypto_status"),
                "multiplier": text(account, "multiplier"),
                "withdrawals": note,
            },
        )

    def clock_reading(self) -> ClockReading:
        before = self._clock.now()
        venue_time = self.market_clock().time
        reading = ClockReading.between(before, venue_time, self._clock.now())
        self._offset = reading.offset
        return reading

    def market_clock(self) -> MarketClock:
        """The venue's time, and whether US shares trade in their regular session now."""
        return mapping.market_clock(as_object(self._read("/clock")))

    def trading_days(self, *, first: date, last: date) -> tuple[TradingDay, ...]:
        """The venue's calendar of US shares from `first` to `last`, half days with their closing."""
        answer = self._read("/calendar", start=first.isoformat(), end=last.isoformat())
        return tuple(mapping.trading_day(row) for row in as_rows(answer))

    def close(self) -> None:
        self._client.close()

    def _account(self) -> Row:
        return as_object(self._read("/account"))

    def _withdrawals(self) -> tuple[bool, str]:
        """Whether coins could leave with this key: only in production, and only to addresses that were approved.

        The transport refuses such requests; this is about what the key could do elsewhere.
        """
        if self.account_id.environment is not Environment.PRODUCTION:
            return False, "this environment has none"
        try:
            known = as_rows(self._read("/wallets/whitelists"))
        except (OrderNotFound, PermissionRefused, AuthenticationRefused):
            return False, "the account has no crypto wallets"
        if mapping.has_whitelisted(known):
            return True, "coins may be sent to whitelisted addresses: remove these on Alpaca's site"
        return False, "no address for coins is whitelisted"

    # -- market data --------------------------------------------------------------------------------------------
    def instruments(self, ids: Iterable[InstrumentId] | None = None) -> tuple[Instrument, ...]:
        return self._book.all() if ids is None else self._book.get(tuple(ids))

    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        """One request for all shares and one for all pairs (200 symbols each): quote and last trade together."""
        found: dict[InstrumentId, Quote] = {}
        for product in sorted({product_of(key.value) for key in ids}):
            wanted = [key for key in dict.fromkeys(ids) if product_of(key.value) is product]
            for at in range(0, len(wanted), QUOTES_MAX):
                part = wanted[at : at + QUOTES_MAX]
                snapshots = self._snapshots(product, part)
                for key in part:
                    found[key] = mapping.quote(self._snapshot(snapshots, key), key)
        return tuple(found[key] for key in ids)

    def _snapshots(self, product: ProductKind, ids: Sequence[InstrumentId]) -> Row:
        symbols = ",".join(key.value for key in ids)
        if product is ProductKind.EQUITY:
            return self._read_data("/stocks/snapshots", version="v2", symbols=symbols)
        answer = self._read_data("/crypto/us/snapshots", version="v1beta3", symbols=symbols)
        return as_object(answer.get("snapshots"))

    def _snapshot(self, snapshots: Row, key: InstrumentId) -> Row:
        found = snapshots.get(key.value)
        if found is not None:
            return as_object(found)
        self._book.get((key,))  # InstrumentUnknown where there is no such thing
        if key.value in snapshots:
            raise VenueUnavailable(f"{key} has no quote now; there is no market to quote")
        raise AnswerUnreadable(f"the venue's quotes do not show {key}")

    # -- account ------------------------------------------------------------------------------------------------
    def balances(self) -> tuple[Balance, ...]:
        """Dollars and coins: two requests, because coins are shown among the positions."""
        account, held = self._account(), as_rows(self._read("/positions"))
        time = self._venue_now()
        return self._valued(lambda: mapping.balances(account, held, account_id=self.account_id, time=time))

    def margin_health(self) -> MarginHealth:
        account = self._account()
        return mapping.margin_health(account, account_id=self.account_id, time=self._venue_now())

    def positions(self) -> tuple[Position, ...]:
        """Shares, and whatever else is held that is not a coin under Alpaca's name."""
        found = as_rows(self._read("/positions"))
        time = self._venue_now()
        return tuple(
            self._valued(lambda row=row: mapping.position(row, account_id=self.account_id, time=time))  # type: ignore[misc]
            for row in found
            if text(row, "asset_class") != mapping.CRYPTO
        )

    def profit_and_loss(self) -> tuple[ProfitAndLoss, ...]:
        raise Unsupported("Alpaca states no realised profit by instrument, only the open one of each position")

    def leverage(self, instrument_id: InstrumentId) -> LeverageInfo:
        self._no_leverage()

    def set_leverage(self, instrument_id: InstrumentId, leverage: Decimal) -> LeverageInfo:
        self._no_leverage()

    def set_position_mode(self, instrument_id: InstrumentId, mode: PositionMode) -> LeverageInfo:
        raise Unsupported("Alpaca has one-way positions only; there is no position mode to set")

    def set_margin_mode(self, instrument_id: InstrumentId, mode: MarginMode) -> LeverageInfo:
        raise Unsupported("Alpaca has no margin mode to set: whether an account may borrow is agreed with the venue")

    def _no_leverage(self) -> NoReturn:
        raise Unsupported("Alpaca has no leverage to read or set: the account's multiplier is the venue's own decision")

    # -- orders: reads ------------------------------------------------------------------------------------------
    def find_order(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> Order | None:
        """One request, by our own id where it is known: it finds an order in whatever state, however old."""
        try:
            row = self._order_row(client_order_id, venue_order_id)
        except OrderNotFound:
            return None
        return self._order(row)

    def open_orders(self) -> tuple[Order, ...]:
        """Those in options too, under Alpaca's name: whoever proves that nothing is open must see what others left. An
        order in several legs at once has no symbol, and no place here."""
        found = [self._order(row) for row in paging.orders(self._read, status="open") if text(row, "symbol")]
        return tuple(order for order in found if order.status.is_open)

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        """Orders created in `since <= time < until` that are over."""
        _require_window(since, until)
        window = {"after": written(since - _SECOND), "until": written(until + _MARGIN)}
        found = [
            self._order(row) for row in paging.orders(self._read, status="closed", **window) if orders.is_shown(row)
        ]
        done = [order for order in found if not order.status.is_open and since <= order.created_at < until]
        return tuple(sorted(done, key=lambda order: (order.created_at, order.venue_order_id)))

    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        """Executions in `since <= time < until`. Alpaca's list cannot be narrowed to one instrument."""
        found = [
            self._valued(lambda row=row: activities.fill(row, account_id=self.account_id))  # type: ignore[misc]
            for row in self._fill_rows(since, until)
            if activities.is_shown(row)
        ]
        wanted = [fill for fill in found if instrument_id in (None, fill.instrument_id)]
        return tuple(sorted(wanted, key=lambda fill: (fill.time, fill.venue_order_id, fill.trade_id)))

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        """What trades moved and what was posted in `since <= time < until`; fees come late, as rows of their own.

        Rows other than trades are listed by the date that they are for and counted by the moment they were posted, so
        that the list is read from some days earlier.
        """
        found = [*self._fill_rows(since, until)]
        others = paging.activities(
            self._read,
            "/account/activities",
            category="non_trade_activity",
            after=written(since - POSTED_LATE),
        )
        found += [row for row in others if not activities.is_fill(row) and _within(row, since, until)]
        events = [
            event
            for row in found
            for event in self._valued(lambda row=row: activities.cash_events(row, account_id=self.account_id))  # type: ignore[misc]
        ]
        return tuple(sorted(events, key=lambda event: event.time))

    def _fill_rows(self, since: datetime, until: datetime) -> Iterable[Row]:
        _require_window(since, until)
        rows = paging.activities(
            self._read,
            f"/account/activities/{activities.FILL}",
            after=written(since - _SECOND),
            until=written(until + _SECOND),
        )
        return [row for row in rows if activities.is_fill(row) and _within(row, since, until)]

    # -- orders: writes -----------------------------------------------------------------------------------------
    def identity(self, instrument_id: InstrumentId) -> OrderIdentity:
        return self.capabilities.identity[product_of(instrument_id.value)]

    def prepare_order(self, request: OrderRequest, client_order_id: ClientOrderId) -> PreparedOrder:
        """No order leaves here. The instrument is read when it is not known yet, the position for a reduction."""
        (instrument,) = self._book.get((request.instrument_id,))
        position = self._held(request.instrument_id) if payloads.needs_position(request, instrument) else None
        return payloads.prepare(request, instrument, client_order_id, position=position)

    def place(self, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        fields = _fields_of(prepared)
        with self._guard.sending(ticket, sha256=prepared.sha256):
            return orders.ack(self._client.place_order(fields), prepared.client_order_id)

    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        """Alpaca cancels by its own id; where only ours is known, the order is looked up first.

        A success says that the request was taken: a fill may still come before the order is over.
        """
        order_id = venue_order_id.value if venue_order_id else required(self._order_row(client_order_id, None), "id")
        with self._guard.recording(timeout_s=self._config.write_timeout_s) as record:
            self._call(lambda: self._client.cancel_order(quoted(order_id, safe="")))
        return record

    # -- shared -------------------------------------------------------------------------------------------------
    def _venue_now(self) -> datetime:
        return self._clock.now() + self._offset

    def _order_row(self, client_order_id: ClientOrderId | None, venue_order_id: VenueOrderId | None) -> Row:
        """The one order of an id; OrderNotFound in Alpaca's own words, AnswerUnreadable for any other order."""
        if client_order_id is not None:
            name, wanted = "client_order_id", client_order_id.value
            row = as_object(self._read("/orders:by_client_order_id", client_order_id=wanted))
        elif venue_order_id is not None:
            name, wanted = "id", venue_order_id.value
            row = as_object(self._read(f"/orders/{quoted(wanted, safe='')}"))
        else:
            raise InvalidOrder("client_order_id or venue_order_id must be given, both were absent")
        if text(row, name) != wanted:
            raise AnswerUnreadable(f"asked for the order with {name} {wanted}, the venue showed another one")
        return row

    def _order(self, row: Row) -> Order:
        return self._valued(lambda: orders.order(row, account_id=self.account_id))

    def _held(self, instrument_id: InstrumentId) -> Decimal:
        return sum((item.quantity for item in self.positions() if item.instrument_id == instrument_id), ZERO)

    def _read(self, path: str, **query: str) -> Any:
        return self._call(lambda: self._client.read(path, **query))

    def _read_assets(self, path: str, **query: str) -> Any:
        """The list of all shares is longer than any other answer may be."""
        with self._guard.recording(answer_bytes_max=ASSETS_BYTES_MAX):
            return self._read(path, **query)

    def _read_data(self, path: str, *, version: str, **query: str) -> Row:
        found: Row = self._call(lambda: self._client.read_data(path, version=version, **query))
        return found

    def _call(self, call: Callable[[], Any]) -> Any:
        """Make one call; whatever is not a BrokerError is an answer that the SDK could not handle."""
        try:
            return call()
        except BrokerError:
            raise
        except Exception as error:
            raise AnswerUnreadable(f"{type(error).__name__}: {error}"[:300]) from error

    def _valued(self, make: Callable[[], T]) -> T:
        """Build a value; its own validation failing means that the row was not what is documented."""
        try:
            return make()
        except ValueError as error:
            raise AnswerUnreadable(f"row of {self.account_id}: {error}") from error


def data_url_of(config: AccountConfig, base_url: str) -> str:
    """Where market data is: Alpaca's data host, or the simulator itself."""
    environment = config.account_id.environment
    if environment is Environment.SIMULATED:
        return base_url
    return CAPABILITIES.host(environment=environment, name=config.host).other_urls[DATA]


def _require_environment(config: AccountConfig) -> None:
    """A key says where it belongs, before anything is sent; the venue would only say that it is wrong."""
    key, environment = config.api_key.get_secret_value(), config.account_id.environment
    wrong = {Environment.TESTNET: LIVE_KEY, Environment.PRODUCTION: PAPER_KEY}.get(environment)
    if wrong is not None and key.startswith(wrong):
        kind = "live" if wrong == LIVE_KEY else "paper"
        raise EnvironmentMismatch(
            f"api_key of {config.account_id} is a {kind} key (it begins with {wrong}), the account is "
            f"{environment.value}; make a key in that environment"
        )


def _require_account(config: AccountConfig, number: str) -> None:
    """Numbers of paper accounts begin with PA, and no others do."""
    environment, is_paper = config.account_id.environment, number.startswith(PAPER_ACCOUNT)
    if (environment is Environment.TESTNET and not is_paper) or (environment is Environment.PRODUCTION and is_paper):
        raise EnvironmentMismatch(
            f"the key of {config.account_id} belongs to the account {number}, which is "
            f"{'a paper' if is_paper else 'no paper'} account; use a key of {environment.value}"
        )


def _require_window(since: datetime, until: datetime) -> None:
    if until < since:
        raise Unsupported(f"until must not be before since, was {until} before {since}")


def _within(row: Row, since: datetime, until: datetime) -> bool:
    return since <= activities.happened_at(row) < until


def _fields_of(prepared: PreparedOrder) -> Row:
    try:
        fields = decode(prepared.payload)
    except ValueError as error:
        raise InvalidOrder(f"prepared payload must be canonical JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("client_order_id") != prepared.client_order_id.value:
        raise InvalidOrder(f"prepared payload must carry client_order_id {prepared.client_order_id}")
    return fields
