"""What a simulated TradeStation is made of, beside what every venue is: users, sessions, quirks, streams."""

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from simulators.core.accounts import Account
from simulators.core.config import AccountConfig, InstrumentConfig, Strict, VenueConfig
from simulators.core.money import Money
from simulators.tradestation.sessions import AssetType, SessionConfig

REDIRECT_URIS = (
    "http://localhost",
    "http://localhost:80",
    "http://localhost:3000",
    "http://localhost:3001",
    "http://localhost:8080",
    "http://localhost:31022",
)
"""What a fresh key may be sent back to; an entry may end in `:*` for any port."""
SCOPES = frozenset({"openid", "offline_access", "profile", "email", "MarketData", "ReadAccount", "Trade"})
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class AccountType(Enum):
    CASH = "Cash"
    MARGIN = "Margin"
    FUTURES = "Futures"
    CRYPTO = "Crypto"


class DuplicateIds(Enum):
    """What a second order with a known OrderConfirmID meets; the real answer is not published."""

    REFUSE = "refuse"
    ACCEPT = "accept"


class ClosedMarket(Enum):
    """What a market order meets while its session is closed: it waits for the opening, or becomes REJ."""

    QUEUE = "queue"
    REJECT = "reject"


class DoneOrder(Enum):
    """How a cancel of an order that is done is refused: with HTTP 400, or inside HTTP 200."""

    STATUS = "status"
    BODY = "body"


class TradeStationAccount(AccountConfig):
    """One account; `name` is its AccountID, e.g. SIM123456M. Its API key is a client's, not its own."""

    account_type: AccountType = AccountType.MARGIN
    alias: str = ""

    def build(self, number: int) -> Account:
        """Return an empty account without keys."""
        account = super().build(number)
        account.keys.clear()
        return account


class TradeStationSymbol(InstrumentConfig):
    """One symbol: a stock, a futures contract, or (with `trading` off) a data-only continuous contract."""

    asset_type: AssetType = AssetType.STOCK
    description: str = ""
    exchange: str = "NASDAQ"
    root: str = ""
    underlying: str = ""
    expires_on: date | None = None
    quote: str = "USD"
    settle: str = "USD"
    notional_min: Money = Decimal(0)
    maker_rate: Money = Decimal(0)
    taker_rate: Money = Decimal(0)
    leverage_max: Money = Decimal(4)
    maintenance_rate: Money = Decimal("0.25")


class ClientConfig(Strict):
    """One API key of one user. `refresh_tokens` exist from the start, so that nobody need sign in with a browser.

    `rotates`: each refresh gives a new refresh token; the old one stays valid for `overlap_s`, all of them end
    `rotating_life_s` after sign-in. `secret_needed` off: a public client, which proves itself with PKCE alone.
    `accounts` are the AccountIDs that the user owns; none named means all.
    """

    client_id: str = Field(min_length=4)
    client_secret: str = Field(min_length=4, repr=False)
    user: str = "demo-user"
    scopes: frozenset[str] = SCOPES
    accounts: tuple[str, ...] = ()
    refresh_tokens: tuple[str, ...] = Field(default=(), repr=False)
    redirect_uris: tuple[str, ...] = REDIRECT_URIS
    consents: bool = True
    secret_needed: bool = True
    rotates: bool = False
    access_life_s: int = Field(default=1200, gt=0)
    overlap_s: int = Field(default=1800, ge=0)
    rotating_life_s: int = Field(default=86_400, gt=0)
    code_life_s: int = Field(default=600, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for uri in self.redirect_uris:
            if urlsplit(uri.removesuffix(":*")).hostname not in LOOPBACK:
                raise ValueError(f"redirect_uris must be on loopback, was {uri!r}")
        return self


class QuotaConfig(Strict):
    """Request quotas; `per_window` overrides the number of a resource (simulators.tradestation.limits)."""

    enabled: bool = True
    per_window: dict[str, int] = {}


class QuirksConfig(Strict):
    """Behaviour that was seen or is unproved, each with a switch.

    `working_ack`: a working order prints ACK, as recorded from SIM, instead of OPN. `ack_fill_ms`: so long a fill is
    shown as ACK with ExecQuantity before FPR or FLL. `replace_out_ms`: so long a replaced order prints OUT without
    ClosedDateTime. `early_out`: the stream prints FLL and OUT first without ClosedDateTime. `zero_fields`: FilledPrice
    is "0" until filled, as recorded, instead of absent.
    """

    duplicate_ids: DuplicateIds = DuplicateIds.REFUSE
    closed_market: ClosedMarket = ClosedMarket.REJECT
    done_order: DoneOrder = DoneOrder.STATUS
    working_ack: bool = False
    ack_fill_ms: int = Field(default=0, ge=0)
    replace_out_ms: int = Field(default=0, ge=0)
    early_out: bool = False
    zero_fields: bool = False


class StreamConfig(Strict):
    """HTTP streams: heartbeats of the simulator's clock, and pieces of so many bytes, cut anywhere (None: whole)."""

    heartbeat_s: int = Field(default=5, gt=0)
    piece_bytes: int | None = Field(default=None, gt=0)
    orders_max: int = 40
    positions_max: int = 40
    quotes_max: int = 10
    end_with_token: bool = False


class TradeStationConfig(VenueConfig):
    """A TradeStation venue."""

    accounts: tuple[TradeStationAccount, ...] = ()
    instruments: tuple[TradeStationSymbol, ...] = ()
    clients: tuple[ClientConfig, ...] = ()
    rate_limits: QuotaConfig = QuotaConfig()
    session: SessionConfig = SessionConfig()
    quirks: QuirksConfig = QuirksConfig()
    streams: StreamConfig = StreamConfig()
    liquidation: bool = False
    conditional_orders_max: int = 500

    @model_validator(mode="after")
    def _check_clients(self) -> Self:
        ids = [client.client_id for client in self.clients]
        if len(set(ids)) != len(ids):
            raise ValueError(f"client ids must differ, were {ids}")
        tokens = [token for client in self.clients for token in client.refresh_tokens]
        if len(set(tokens)) != len(tokens):
            raise ValueError("a refresh token is given twice")
        known = {account.name for account in self.accounts}
        for client in self.clients:
            absent = sorted(set(client.accounts) - known)
            if absent:
                raise ValueError(f"client {client.client_id} owns unknown accounts {absent}; there are {sorted(known)}")
        return self
