"""TradeStation as a `Broker`: every method of the port over one guarded client.

Built by `brokers.factory.open_broker` only. TradeStation shows no ids of ours, no executions, no wallet feed and no
clock; what stands in for each is said where it is done, and what cannot be done is Unsupported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from brokers.capabilities import OrderIdentity
from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    EnvironmentMismatch,
    InvalidOrder,
    NotSent,
    OrderNotFound,
    Unsupported,
)
from brokers.fields import Row, listed, required, rows, text
from brokers.guard import Origin, SendGuard
from brokers.ids import ClientOrderId, Environment, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.strictjson import decode
from brokers.tradestation import mapping, orders, payloads
from brokers.tradestation.client import TradeStationClient, classify
from brokers.tradestation.instruments import InstrumentBook
from brokers.tradestation.oauth import AccessTokens, TokenEndpoint
from brokers.tradestation.profile import (
    AUTH_BASE,
    CAPABILITIES,
    HISTORY_DAYS_MAX,
    QUOTES_MAX,
    SIM_PREFIX,
    TRADE_SCOPE,
    product_of,
)
from brokers.tradestation.tokens import TokenStore
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
    Order,
    OrderAck,
    OrderRequest,
    Position,
    PositionMode,
    PreparedOrder,
    ProfitAndLoss,
    Quote,
)
from brokers.wire import SendTicket, WireRecord

CLOCK_ERROR_S_MAX = 0.35  # what a reading aims at: answers tell whole seconds only
CLOCK_READS_MAX = 4
CLOCK_PAUSE_S = 0.3
SEEN_S_MIN = 1.0  # looks at single orders share one list of the account's orders for this long, or longer
SEEN_S_MAX = 10.0  # where the venue's budget of requests runs low, and for no longer than this


class TradeStationBroker(Broker):
    """One account at TradeStation."""

    capabilities = CAPABILITIES

    def __init__(self, config: AccountConfig, *, base_url: str, clock: Clock) -> None:
        self.account_id = config.account_id
        self._account = config.venue_account
        self._config = config
        self._clock = clock
        self._base_url = base_url
        _require_environment(config)
        self._guard = SendGuard(
            origins=frozenset({Origin.of(base_url)}),
            classify=classify,
            clock=clock,
            timeout_s=config.read_timeout_s,
            secrets=(config.api_secret.get_secret_value(),),
        )
        self._endpoint = TokenEndpoint(
            auth_base=auth_base_of(config, base_url),
            client_id=config.api_key.get_secret_value(),
            client_secret=config.api_secret,
            clock=clock,
            timeout_s=config.read_timeout_s,
        )
        store = token_store(config, base_url)
        self._tokens = AccessTokens(store=store, endpoint=self._endpoint, clock=clock)
        self._client = TradeStationClient(api_base=base_url, guard=self._guard, tokens=self._tokens, clock=clock)
        self._book = InstrumentBook(self._symbols, clock=clock)
        self._account_type = ""
        self._lock = threading.Lock()
        self._seen: tuple[dict[str, Row], float] | None = None

    @property
    def order_requests_sent(self) -> int:
        return self._guard.order_requests_sent

    # -- connection ---------------------------------------------------------------------------------------------
    def connect(self) -> AccountProof:
        """Prove login, account and clock: the account must be one of those that the login reaches at this host.

        The API has no withdrawals and no transfers, so no token can make them: `can_withdraw` is False.
        """
        row = self._own_account()
        kind = text(row, "AccountType")
        product = mapping.product_of_type(kind)
        if product is None or product not in self._config.products:
            offered = ", ".join(sorted(self._config.products))
            raise EnvironmentMismatch(
                f"account {self._account} of {self.account_id} is a {kind or 'nameless'} account: it does not trade "
                f"{offered}; correct venue_account or products"
            )
        scopes = self._tokens.scopes
        return AccountProof(
            account_id=self.account_id,
            venue_account=self._account,
            host=self._base_url,
            key_fingerprint=self._config.key_fingerprint,
            can_trade=TRADE_SCOPE in scopes and text(row, "Status").lower() in ("", "active"),
            can_withdraw=False,
            permissions=scopes,
            margin_mode=mapping.margin_mode(kind),
            clock=self.clock_reading(),
            extra={"account_type": kind, "status": text(row, "Status"), "withdrawals": "the API has none"},
        )

    def clock_reading(self) -> ClockReading:
        """The venue's clock by the dates of its answers; asked again until the bound is a part of a second."""
        for number in range(CLOCK_READS_MAX):
            if number:
                self._clock.wait(CLOCK_PAUSE_S)
            self._accounts()
            reading = self._client.venue_time.reading()
            if reading.error <= timedelta(seconds=CLOCK_ERROR_S_MAX):
                break
        return reading

    def close(self) -> None:
        self._client.close()
        self._endpoint.close()

    def _accounts(self) -> list[Row]:
        answer = self._client.get("brokerage", "accounts", resource="accounts")
        self._client.refuse_errors(answer, what="the accounts")
        return listed(answer, "Accounts")

    def _own_account(self) -> Row:
        found = self._accounts()
        own = [row for row in found if text(row, "AccountID") == self._account]
        if len(own) != 1:
            known = ", ".join(sorted(text(row, "AccountID") for row in found)) or "none"
            raise EnvironmentMismatch(
                f"venue_account {self._account} of {self.account_id} is not among the accounts of this login at "
                f"{self._base_url}: {known}"
            )
        self._account_type = text(own[0], "AccountType")
        return own[0]

    # -- market data --------------------------------------------------------------------------------------------
    def instruments(self, ids: Iterable[InstrumentId] | None = None) -> tuple[Instrument, ...]:
        """Those asked for; TradeStation has no list of all that it trades."""
        if ids is None:
            raise Unsupported("TradeStation has no list of all instruments; name those that are meant")
        return self._book.get(tuple(ids))

    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        """One request per hundred symbols."""
        wanted = {item.venue_symbol: item for item in self._book.get(tuple(ids))}
        found: dict[InstrumentId, Quote] = {}
        symbols = list(wanted)
        for at in range(0, len(symbols), QUOTES_MAX):
            answer = self._client.get(
                "marketdata", "quotes", ",".join(symbols[at : at + QUOTES_MAX]), resource="quotes"
            )
            time = self._client.venue_time.now()
            for row in rows(answer, "Quotes"):
                item = wanted.get(text(row, "Symbol"))
                if item is not None:
                    found[item.instrument_id] = mapping.quote(row, item, time=time)
            self._client.refuse_errors(answer, what="quotes")
        for instrument_id in ids:
            if instrument_id not in found:
                raise AnswerUnreadable(f"the venue's quotes do not show {instrument_id}")
        return tuple(found[instrument_id] for instrument_id in ids)

    def _symbols(self, symbols: str) -> dict[str, Any]:
        return self._client.get("marketdata", "symbols", symbols, resource="symbols")

    # -- account ------------------------------------------------------------------------------------------------
    def balances(self) -> tuple[Balance, ...]:
        row, time = self._balance_row()
        return tuple(
            balance
            for balance in mapping.balances(row, account_id=self.account_id, time=time)
            if mapping.has_money(balance)
        )

    def margin_health(self) -> MarginHealth:
        row, time = self._balance_row()
        return mapping.margin_health(row, account_id=self.account_id, time=time)

    def positions(self) -> tuple[Position, ...]:
        answer = self._client.get("brokerage", "accounts", self._account, "positions", resource="positions")
        self._client.refuse_errors(answer, what=f"positions of {self._account}")
        time = self._client.venue_time.now()
        return tuple(
            self._mapped(mapping.position, row, account_id=self.account_id, time=time)
            for row in self._own(listed(answer, "Positions"))
        )

    def profit_and_loss(self) -> tuple[ProfitAndLoss, ...]:
        raise Unsupported("TradeStation states no realised profit by instrument, only today's of the whole account")

    def leverage(self, instrument_id: InstrumentId) -> LeverageInfo:
        self._no_leverage()

    def set_leverage(self, instrument_id: InstrumentId, leverage: Decimal) -> LeverageInfo:
        self._no_leverage()

    def set_position_mode(self, instrument_id: InstrumentId, mode: PositionMode) -> LeverageInfo:
        raise Unsupported("TradeStation has one-way positions only; there is no position mode to set")

    def _no_leverage(self) -> NoReturn:
        raise Unsupported("TradeStation has no leverage to read or set: margin follows from the account and the symbol")

    def _balance_row(self) -> tuple[Row, datetime]:
        answer = self._client.get("brokerage", "accounts", self._account, "balances", resource="balances")
        self._client.refuse_errors(answer, what=f"balances of {self._account}")
        row = mapping.only_row(listed(answer, "Balances"), self._account, what="balances")
        return row, self._client.venue_time.now()

    # -- orders: reads ------------------------------------------------------------------------------------------
    def find_order(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> Order | None:
        """By the venue's id, from a list some seconds old that all look-ups share; then among older orders."""
        if venue_order_id is None:
            raise Unsupported(
                "TradeStation cannot be asked by OrderConfirmID and shows it nowhere; look through the lists of orders"
            )
        row = self._seen_orders().get(venue_order_id.value)
        if row is None:
            row = self._older_order(venue_order_id.value)
        return None if row is None else self._order(row)

    def _older_order(self, order_id: str) -> Row | None:
        found = self._client.pages(
            *self._account_path("historicalorders", order_id), resource="orders", name="Orders", since=self._oldest()
        )
        try:
            return next((row for row in self._own(found) if orders.order_id(row) == order_id), None)
        except OrderNotFound:
            return None

    def open_orders(self) -> tuple[Order, ...]:
        found = self._read_orders()
        return tuple(order for order in map(self._order, found.values()) if order.status.is_open)

    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        """Orders opened in `since <= time < until` that are over."""
        found = [order for order in self._all_orders(since) if since <= order.created_at < until]
        done = [order for order in found if not order.status.is_open]
        return tuple(sorted(done, key=lambda order: (order.created_at, order.venue_order_id)))

    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        """One fill per order that is over, at the time of its end in `since <= time < until`: its total.

        TradeStation shows no executions. What an open order has filled so far stands on the order itself.
        """
        # Without an instrument the whole account is asked for: an order of the past may have been filled in the window.
        reach = since if instrument_id is not None else since - timedelta(days=HISTORY_DAYS_MAX)
        found = []
        for order in self._all_orders(reach, clamped=True):
            if order.status.is_open or not order.filled_quantity:
                continue
            # A second that has begun belongs to the window: the fill is told now, with the time of that second's end.
            ended_at = orders.end_of(order)
            if since <= ended_at and order.updated_at < until and instrument_id in (None, order.instrument_id):
                found.append(orders.fill(order, time=ended_at))
        return tuple(sorted(found, key=lambda fill: (fill.time, fill.venue_order_id)))

    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        raise Unsupported("TradeStation's API has no feed of wallet changes; its statements are on its site")

    # -- orders: writes -----------------------------------------------------------------------------------------
    def identity(self, instrument_id: InstrumentId) -> OrderIdentity:
        return self.capabilities.identity[product_of(instrument_id.value)]

    def prepare_order(self, request: OrderRequest, client_order_id: ClientOrderId) -> PreparedOrder:
        """No order leaves here. The instrument is read when it is not known yet, the position where the action depends
        on it."""
        (instrument,) = self._book.get((request.instrument_id,))
        self._require_product(instrument)
        position = self._held(request.instrument_id) if payloads.needs_position(request, instrument) else None
        return payloads.prepare(request, instrument, client_order_id, account=self._account, position=position)

    def place(self, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        _check_payload(prepared, self._account)
        token = self._ready()
        try:
            with self._guard.sending(ticket, sha256=prepared.sha256):
                answer = self._client.place_order(prepared.payload, token=token)
                return orders.ack(answer, prepared.client_order_id, time=self._client.venue_time.now())
        finally:
            self._forget_seen()

    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        if venue_order_id is None:
            raise OrderNotFound("TradeStation cancels by its own order id only, and that is not known yet")
        try:
            with self._guard.recording(timeout_s=self._config.write_timeout_s) as record:
                orders.require_cancelled(self._client.cancel(venue_order_id.value))
            return record
        finally:
            self._forget_seen()

    # -- shared -------------------------------------------------------------------------------------------------
    def _ready(self) -> str:
        """A token before anything of an order leaves: without one nothing was sent, whatever the login host did."""
        try:
            return self._client.ready()
        except AuthenticationRefused:
            raise
        except BrokerError as error:
            raise NotSent(f"nothing was sent: the access token could not be renewed: {error.message}") from error

    def _require_product(self, instrument: Instrument) -> None:
        if not self._account_type:
            self._own_account()
        product = mapping.product_of_type(self._account_type)
        if product is not instrument.product:
            raise InvalidOrder(
                f"{instrument.instrument_id} is {instrument.product.value}, and {self._account} is a "
                f"{self._account_type} account at TradeStation, which does not trade it; use the account that does"
            )

    def _held(self, instrument_id: InstrumentId) -> Decimal:
        return sum((p.quantity for p in self.positions() if p.instrument_id == instrument_id), ZERO)

    def _account_path(self, *more: str) -> tuple[str, ...]:
        return ("brokerage", "accounts", self._account, *more)

    def _read_orders(self) -> dict[str, Row]:
        """Today's orders and all open ones, by id."""
        found = self._client.pages(*self._account_path("orders"), resource="orders", name="Orders")
        by_id = {orders.order_id(row): row for row in self._own(found) if orders.is_shown(row)}
        with self._lock:
            self._seen = (by_id, self._clock.monotonic())
        return by_id

    def _seen_orders(self) -> dict[str, Row]:
        """The same, a second old at least before it is read again, so that many orders are followed with one request;
        and so old that half of what is left of the venue's budget is enough, but never above ten seconds."""
        age_s_max = min(max(SEEN_S_MIN, 2 * self._client.spacing_s("orders")), SEEN_S_MAX)
        with self._lock:
            seen = self._seen
        if seen is not None and self._clock.monotonic() - seen[1] <= age_s_max:
            return seen[0]
        return self._read_orders()

    def _forget_seen(self) -> None:
        with self._lock:
            self._seen = None

    def _all_orders(self, since: datetime, *, clamped: bool = False) -> Iterator[Order]:
        """Every order that the venue shows from `since` on: the lists of today and of the past, each order once."""
        earliest = self._client.venue_time.now() - timedelta(days=HISTORY_DAYS_MAX)
        if since < earliest:
            if not clamped:
                raise Unsupported(
                    f"TradeStation shows orders of {HISTORY_DAYS_MAX} days; since must be after {earliest}, was {since}"
                )
            since = earliest
        found = dict(self._read_orders())
        # The date is of the exchange's day, which may be another than ours: one day more is asked for.
        from_day = max(since - timedelta(days=1), earliest)
        history = self._client.pages(
            *self._account_path("historicalorders"),
            resource="orders",
            name="Orders",
            since=from_day.astimezone(UTC).date().isoformat(),
        )
        for row in self._own(history):
            if orders.is_shown(row):
                found.setdefault(orders.order_id(row), row)
        return map(self._order, found.values())

    def _oldest(self) -> str:
        oldest = self._client.venue_time.now() - timedelta(days=HISTORY_DAYS_MAX - 1)
        return oldest.astimezone(UTC).date().isoformat()

    def _own(self, found: Iterable[Row]) -> Iterator[Row]:
        """Rows of this account; another one's in the answer is a reason to believe none of it."""
        for row in found:
            if required(row, "AccountID") != self._account:
                raise AnswerUnreadable(f"asked for {self._account}, the venue showed {text(row, 'AccountID')} too")
            yield row

    def _order(self, row: Row) -> Order:
        found: Order = self._mapped(orders.order, row, account_id=self.account_id)
        return found

    def _mapped(self, make: Any, row: Row, **options: Any) -> Any:
        """Build a value; its own validation failing means that the row was not what is documented."""
        try:
            return make(row, **options)
        except ValueError as error:
            raise AnswerUnreadable(f"{make.__name__} row of {self._account}: {error}") from error


def auth_base_of(config: AccountConfig, base_url: str) -> str:
    """The login host: TradeStation's own, or the simulator's."""
    return base_url if config.account_id.environment is Environment.SIMULATED else AUTH_BASE


def token_store(config: AccountConfig, base_url: str) -> TokenStore:
    """Where the account's tokens lie; EnvironmentMismatch when no folder for secrets is known."""
    if config.secrets_folder is None:
        raise EnvironmentMismatch(
            f"no folder for the tokens of {config.account_id} is known; set ALGOTRENDY_SECRETS to the folder of secrets"
        )
    return TokenStore(
        config.secrets_folder,
        client_id=config.api_key.get_secret_value(),
        auth_base=auth_base_of(config, base_url),
    )


def _require_environment(config: AccountConfig) -> None:
    """An account number says where it belongs: those of the simulation environment begin with SIM."""
    environment = config.account_id.environment
    is_sim = config.venue_account.startswith(SIM_PREFIX)
    if (environment is Environment.TESTNET and not is_sim) or (environment is Environment.PRODUCTION and is_sim):
        wanted = "begin with SIM" if environment is Environment.TESTNET else "not begin with SIM"
        raise EnvironmentMismatch(
            f"venue_account of {config.account_id} must {wanted}, was {config.venue_account}: TradeStation's host "
            "alone tells simulation and production apart"
        )


def _check_payload(prepared: PreparedOrder, account: str) -> None:
    try:
        fields = decode(prepared.payload)
    except ValueError as error:
        raise InvalidOrder(f"prepared payload must be canonical JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("OrderConfirmID") != prepared.client_order_id.value:
        raise InvalidOrder(f"prepared payload must carry OrderConfirmID {prepared.client_order_id}")
    if fields.get("AccountID") != account:
        raise InvalidOrder(f"prepared payload must be for account {account}, was {fields.get('AccountID')!r}")
