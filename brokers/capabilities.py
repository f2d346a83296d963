"""What each venue can do and how certain it is: data, not code.

An unproved property takes its worse value. `proof` names where each identity property comes from, so that a
conformance run can raise it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

from brokers.errors import Unsupported
from brokers.ids import Environment, InstrumentId, Venue
from brokers.types import MarginMode, OrderType, PositionMode, ProductKind, TimeInForce


class IdScope(StrEnum):
    """Among which orders the venue refuses a client order id that it has seen."""

    PERMANENT = "permanent"  # for ever: re-sending the same id is the query
    OPEN_ONLY = "open_only"  # among open orders only: re-sending may execute twice
    NONE = "none"  # never


@dataclass(frozen=True, slots=True)
class OrderIdentity:
    """What decides how an unanswered order is resolved, per product of a venue.

    `deadline_s_max`: longest validity that the venue enforces on a request (0: it enforces none).
    `visibility_horizon_s`: after this long without a trace, a complete look-up proves absence.
    `orders_show_client_id`: whether an order that is read carries the id that it was sent with.
    """

    id_scope: IdScope
    deadline_s_max: int
    visibility_horizon_s: int
    lookup_by_client_id: bool
    fills_carry_client_id: bool
    acknowledges_asynchronously: bool
    client_id_length_max: int
    client_id_alphabet: str
    lookup_window_unfilled_s: int
    lookup_window_filled_s: int
    proof: str
    orders_show_client_id: bool = True


@dataclass(frozen=True, slots=True)
class RateBudget:
    """Requests that the venue allows to one account: `limit` in any `window_s` seconds."""

    name: str
    limit: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Host:
    """One REST host of the venue and the environment that it belongs to.

    `other_urls` are further origins of the same environment, by what they serve.
    """

    name: str
    environment: Environment
    base_url: str
    other_urls: Mapping[str, str] = field(default_factory=dict, hash=False)


class DeadManKind(StrEnum):
    """How a venue cancels orders by itself when we fall silent."""

    NONE = "none"
    REQUEST_TIMER = "request_timer"  # a request starts a countdown, each further one starts it again
    STREAM_LOSS = "stream_loss"  # acts when a private stream is lost, and only while one was open


@dataclass(frozen=True, slots=True)
class DeadManSwitch:
    """The venue's own dead-man switch. `is_armed_by_us`: something of ours makes it act; where not, `note` says why.

    `cancels_all_orders`: other people's orders in the account as well, so it is armed only where the account says that
    it may (`AccountConfig.dead_man_may_cancel_all_orders`). `per_instrument`: each instrument has one of its own;
    `contracts_only`: spot has none. `uncovered` says in a phrase which orders stay all the same.
    """

    kind: DeadManKind
    timeout_s_min: int = 0
    timeout_s_max: int = 0
    is_armed_by_us: bool = False
    note: str = ""
    cancels_all_orders: bool = False
    per_instrument: bool = False
    contracts_only: bool = False
    uncovered: str = ""

    def covers(self, instrument_id: InstrumentId) -> bool:
        """Whether it cancels orders in this instrument: a unified symbol of a contract names what it settles in."""
        return not self.contracts_only or ":" in instrument_id.value

    def require_timeout(self, timeout_s: int, *, takes_back: bool = True) -> None:
        """Unsupported for a time that is not wound here; 0 is taken where the venue takes a countdown back."""
        if self.timeout_s_min <= timeout_s <= self.timeout_s_max or (takes_back and timeout_s == 0):
            return
        none = "or 0 for none" if takes_back else "and none is taken back"
        raise Unsupported(
            f"timeout_s of the dead-man switch must be {self.timeout_s_min} to {self.timeout_s_max}, {none}, "
            f"was {timeout_s}"
        )

    def agreed_to(self, *, uncovered: str) -> DeadManSwitch:
        """As it is for an account whose owner lets it cancel every order."""
        return replace(self, is_armed_by_us=True, note="", uncovered=uncovered)


NO_DEAD_MAN = DeadManSwitch(DeadManKind.NONE, note="no switch of the venue is known to this adapter")


@dataclass(frozen=True, slots=True)
class Access:
    """How an account is reached, beside its key.

    `needs_login`: a person logs in once and a token store keeps what that gave (`algotrendy login`). `needs_secret`:
    False where a key may come without one. `names_account`: one key reaches several accounts, so the account is named.
    `needs_passphrase`: a key comes with a passphrase that its owner chose.
    """

    needs_login: bool = False
    needs_secret: bool = True
    names_account: bool = False
    needs_passphrase: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One venue's row: products, order forms, identity, limits, hosts."""

    venue: Venue
    products: frozenset[ProductKind]
    order_types: frozenset[OrderType]
    time_in_force: frozenset[TimeInForce]
    post_only: bool
    reduce_only: bool
    position_modes: frozenset[PositionMode]
    margin_modes: frozenset[MarginMode]
    sets_leverage: bool
    cash_events: bool
    identity: dict[ProductKind, OrderIdentity]
    budgets: tuple[RateBudget, ...]
    hosts: tuple[Host, ...]
    fee_rate_taker: str  # what plans count with, decimal text: the dearest of the venue's products
    dead_man: DeadManSwitch = NO_DEAD_MAN
    access: Access = Access()
    settle_currencies: tuple[str, ...] = ("USDT",)  # what an account reads positions of unless it says otherwise
    positions_by_currency: bool = True  # False: a reading of positions shows the account whole
    cash_event_step: str = "0"  # what each wallet change is rounded to, decimal text; 0: exact
    fee_rates_taker: Mapping[ProductKind, str] = field(default_factory=dict)  # of products that cost less than that
    balance_step: str = "0"  # what each balance is rounded to, decimal text; 0: exact
    rounded_currencies: tuple[str, ...] = ()  # those that the two steps are of; empty: every one
    fills_carry_fees: bool = True  # False: what a fill cost is posted later, as a cash event of its own
    fills_are_totals: bool = False  # True: the venue shows no executions, only what each order has filled in all
    reads_by_instrument: bool = False  # True: orders, fills and histories are read for the account's `instruments` only
    cash_event_products: frozenset[ProductKind] = frozenset()  # those with a feed, where the others have none
    fills_tell_balances: bool = (
        False  # True: where spot has no feed, its fills tell exactly what they moved, fee included
    )

    def fee_rate_of(self, product: ProductKind) -> Decimal:
        """What plans count with for an order that takes, as a fraction of its notional."""
        return Decimal(self.fee_rates_taker.get(product, self.fee_rate_taker))

    def host(self, *, environment: Environment, name: str = "") -> Host:
        """The host of an environment, by name where it has several; ValueError lists what there is."""
        fitting = [h for h in self.hosts if h.environment is environment]
        named = [h for h in fitting if h.name == name] if name else fitting[:1]
        if not named:
            known = ", ".join(f"{h.name} ({h.environment})" for h in self.hosts)
            raise ValueError(f"{self.venue} has no host {name!r} for {environment}; known: {known}")
        return named[0]

    def other_url(self, what: str, *, environment: Environment, host: str, base_url: str) -> str:
        """Where another part of the venue is served; a simulator serves all of it at its one address."""
        if environment is Environment.SIMULATED:
            return base_url
        return self.host(environment=environment, name=host).other_urls[what]

    def of_products(self, products: frozenset[ProductKind]) -> Self:
        """As they are for an account of these products: it has a feed of wallet changes if each of them has one."""
        fed = products & self.cash_event_products
        return replace(self, cash_events=self.cash_events or products <= fed, cash_event_products=fed)

    @property
    def explains_balances(self) -> bool:
        """Whether balances can be told from wallet changes: the venue's own, or what fills moved."""
        return self.cash_events or self.fills_tell_balances

    def as_json(self) -> dict[str, Any]:
        """A JSON-ready form, closed sets sorted."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(str(item) for item in value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value
