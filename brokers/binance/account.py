"""The account as a whole: its proof, its money, its positions and how a contract is set.

A key's own rights are read where the environment serves Binance's wallet API (`GET /sapi/v1/account/apiRestrictions`).
The test networks do not, and python-binance would ask production instead: there nothing of it is sent. `canTrade` and
`canWithdraw` are of the account, not of the key.

Source: Wallet "Get API Key Permission".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brokers.binance import mapping
from brokers.binance.client import BinanceClient
from brokers.binance.fields import row_of, rows_of
from brokers.binance.instruments import InstrumentBook, Market
from brokers.binance.profile import serves_wallet
from brokers.config import AccountConfig
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    EnvironmentMismatch,
    PermissionRefused,
)
from brokers.fields import Row, flag, listed, number, required, text
from brokers.ids import Environment
from brokers.types import (
    ZERO,
    AccountProof,
    Balance,
    ClockReading,
    LeverageInfo,
    MarginHealth,
    MarginMode,
    Position,
    ProductKind,
)

_UNKNOWN_KEY, _KEY_REFUSED = "-2008", "-2015"
_NOT_SERVED = "404"


def ask(call: Callable[..., Any], **parameters: Any) -> Any:
    """Make one call; whatever is not a BrokerError is an answer that the SDK could not handle."""
    try:
        return call(**parameters)
    except BrokerError:
        raise
    except Exception as error:
        raise AnswerUnreadable(f"{call.__name__}: {type(error).__name__}: {error}"[:300]) from error


class Account:
    """Reads of one account over the products that it is configured for."""

    def __init__(self, config: AccountConfig, *, client: BinanceClient, book: InstrumentBook, base_url: str) -> None:
        self._config = config
        self._id = config.account_id
        self._client = client
        self._book = book
        self._base_url = base_url
        self._has_spot = ProductKind.SPOT in config.products
        self._has_futures = ProductKind.LINEAR in config.products

    # -- the proof ----------------------------------------------------------------------------------------------
    def proof(self, reading: ClockReading) -> AccountProof:
        """Prove that the key opens each product here."""
        spot = self._proved(self._read_spot, AuthenticationRefused) if self._has_spot else None
        # A key that spot knows is of this environment and may come from here: futures can lack the right only.
        kind = PermissionRefused if spot is not None else AuthenticationRefused
        futures = self._proved(self._read_settings, kind) if self._has_futures else None
        known = [row for row in (spot, futures) if row is not None]
        rights = self._read_rights()
        return AccountProof(
            account_id=self._id,
            venue_account=self._number(spot),
            host=self._base_url,
            key_fingerprint=self._config.key_fingerprint,
            can_trade=all(flag(row, "canTrade") for row in known) and self._may_trade(rights),
            can_withdraw=self._may_withdraw(rights, known),
            permissions=self._permissions(spot, futures),
            margin_mode=MarginMode.CASH if futures is None else MarginMode.CROSS,
            clock=reading,
            extra={
                "rights": "of the account: this host does not show a key's" if rights is None else "of the key",
                "withdrawals": self._withdrawals(rights, known),
                "multi_assets_margin": "" if futures is None else str(_is_shared(futures)).lower(),
            },
        )

    def _proved(self, read: Callable[[], Row], kind: type[BrokerError]) -> Row:
        """-2015 says of a key that it is unknown here, bound to other addresses or without the right, and not which."""
        try:
            return read()
        except AuthenticationRefused as error:
            if error.code not in (_UNKNOWN_KEY, _KEY_REFUSED):
                raise
            own = EnvironmentMismatch if error.code == _UNKNOWN_KEY else kind
            raise own(
                f"Binance refuses the key of {self._id} at {self._base_url} ({error.code} {error.text}): production, "
                "demo and each test network have keys of their own; else the key is bound to other IP addresses, or "
                "lacks the right to read and trade a product that the account is configured for",
                code=error.code,
                text=error.text,
            ) from error

    def _number(self, spot: Row | None) -> str:
        """The account's number: spot's uid, else the alias that futures show on each balance."""
        if spot is not None:
            return required(spot, "uid")
        found = {text(row, "accountAlias") for row in rows_of(ask(self._client.futures_account_balance), "balance")}
        if len(found) != 1:
            raise AnswerUnreadable(
                f"the balances must show one accountAlias, showed {', '.join(sorted(found)) or 'none'}"
            )
        return f"futures-{found.pop()}"

    def _permissions(self, spot: Row | None, futures: Row | None) -> tuple[str, ...]:
        found = {str(name) for name in (spot or {}).get("permissions") or []}
        return tuple(sorted(found | ({"FUTURES"} if futures is not None else set())))

    def _read_rights(self) -> Row | None:
        """The key's rights; None where the host does not serve them."""
        if not serves_wallet(self._id.environment):
            return None
        try:
            return row_of(ask(self._client.get_account_api_permissions), "apiRestrictions")
        except BrokerError as error:
            if error.code != _NOT_SERVED:
                raise
            return None

    def _may_trade(self, rights: Row | None) -> bool:
        """Whether the key has the right of each product here; where it is not shown, orders will tell."""
        if rights is None:
            return True
        wanted = {"enableSpotAndMarginTrading": self._has_spot, "enableFutures": self._has_futures}
        return all(mapping.right(rights, name) for name, is_here in wanted.items() if is_here)

    def _may_withdraw(self, rights: Row | None, known: list[Row]) -> bool:
        """By the key's rights. Where they are not shown a key of production counts as one that may, unless the account
        may not or the key's owner states that it was made without the right."""
        if rights is not None:
            return mapping.moves_money_out(rights)
        is_real = self._id.environment is Environment.PRODUCTION
        return is_real and not self._config.key_cannot_withdraw and any(flag(row, "canWithdraw") for row in known)

    def _withdrawals(self, rights: Row | None, known: list[Row]) -> str:
        if rights is not None:
            if mapping.moves_money_out(rights):
                return "the key may: make one without the rights to withdraw and to transfer to other accounts"
            return "the key may not, as Binance shows it"
        if self._id.environment is not Environment.PRODUCTION:
            return "there is nothing to withdraw here"
        if not any(flag(row, "canWithdraw") for row in known):
            return "the account may not"
        if self._config.key_cannot_withdraw:
            return "ruled out by the owner's statement (key_cannot_withdraw), not by the venue"
        return "not ruled out: make a key without that right and state it with key_cannot_withdraw"

    # -- money --------------------------------------------------------------------------------------------------
    def balances(self) -> tuple[Balance, ...]:
        """One per currency over the wallets of the configured products: one request each."""
        found: list[Balance] = []
        if self._has_spot:
            found.extend(self._spot_balances())
        if self._has_futures:
            found.extend(self._futures_balances())
        return mapping.together(balance for balance in found if mapping.has_money(balance))

    def _spot_balances(self) -> list[Balance]:
        answer = self._read_spot()
        time = self._client.venue_now()
        return [mapping.spot_balance(row, account_id=self._id, time=time) for row in listed(answer, "balances")]

    def _futures_balances(self) -> list[Balance]:
        answer = self._read_settings()
        is_shared, time = _is_shared(answer), self._client.venue_now()
        return [
            mapping.futures_balance(row, account_id=self._id, is_shared=is_shared, time=time)
            for row in listed(answer, "assets")
        ]

    def margin_health(self) -> MarginHealth:
        """Futures as stated, plus what spot is worth at last prices: those that are needed come in one request."""
        futures = self._read_settings() if self._has_futures else None
        spot = free = None
        if self._has_spot:
            held = [balance for balance in self._spot_balances() if balance.total]
            free = next((balance.available for balance in held if balance.currency == mapping.DOLLARS), ZERO)
            needs_prices = any(balance.currency != mapping.DOLLARS for balance in held)
            tickers = rows_of(ask(self._client.get_symbol_ticker), "ticker/price") if needs_prices else []
            spot = mapping.spot_value(held, {text(row, "symbol"): number(row, "price") for row in tickers})
        return mapping.margin_health(
            futures,
            spot,
            free=free,
            account_id=self._id,
            is_shared=futures is not None and _is_shared(futures),
            time=self._client.venue_now(),
        )

    def _read_spot(self) -> Row:
        return row_of(ask(self._client.get_account, omitZeroBalances=True), "account")

    def _read_settings(self) -> Row:
        """The second version: the third tells neither rights nor whether the margin assets are one pool."""
        return row_of(ask(self._client.futures_account), "account")

    # -- positions and how contracts are set --------------------------------------------------------------------
    def positions(self) -> tuple[Position, ...]:
        """The third version lists what is in use and lacks the leverage, which is read once more where it matters."""
        if not self._has_futures:
            return ()
        listed = rows_of(ask(self._client.futures_position_information), "positionRisk")
        held = [row for row in listed if number(row, "positionAmt")]
        if not held:
            return ()
        leverages = mapping.leverages(rows_of(ask(self._client.futures_symbol_config), "symbolConfig"))
        found = []
        for row in held:
            symbol = required(row, "symbol")
            market = self._book.market(ProductKind.LINEAR, symbol)
            try:
                position = mapping.position(row, market, account_id=self._id, leverage=leverages.get(symbol))
            except ValueError as error:
                raise AnswerUnreadable(f"position row of {symbol}: {error}") from error
            found.append(position)
        return tuple(found)

    def leverage(self, market: Market) -> LeverageInfo:
        configured = rows_of(ask(self._client.futures_symbol_config, symbol=market.symbol), "symbolConfig")
        mode = mapping.position_mode(row_of(ask(self._client.futures_get_position_mode), "positionSide/dual"))
        return mapping.leverage_info(configured, market, mode)


def _is_shared(answer: Row) -> bool:
    """Whether all margin assets back all positions (multi-assets mode): without a word on it nothing may be assumed."""
    if not isinstance(answer.get("multiAssetsMargin"), bool):
        raise AnswerUnreadable(f"multiAssetsMargin must be true or false, was {answer.get('multiAssetsMargin')!r}")
    return flag(answer, "multiAssetsMargin")
