"""The control API: the truth of a simulator and the levers on it, for Python and, under /_control/, for JSON."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from simulators.core.accounts import Account
from simulators.core.config import AccountConfig, KeyConfig, LagsConfig, LiquidityConfig
from simulators.core.faults import Action, Fault, FaultKind, Match
from simulators.core.margin import MarginState, position_side_for
from simulators.core.prices import Replay
from simulators.core.simulator import RequestRecord, Simulator
from simulators.core.types import (
    ClosedTrade,
    Entry,
    EntryKind,
    Execution,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderType,
    Origin,
    Position,
    PositionSide,
    Quote,
    Reason,
    Refusal,
    TimeInForce,
)

F = TypeVar("F", bound=Callable[..., Any])
Number = Decimal | int | str


class ControlError(Exception):
    """A control request cannot be served; the text says why."""


def exposed(method: str) -> Callable[[F], F]:
    """Mark a method as reachable under /_control/ with an HTTP method."""

    def mark(function: F) -> F:
        function.http_method = method  # type: ignore[attr-defined]
        return function

    return mark


def _decimal(value: Number, name: str) -> Decimal:
    if isinstance(value, float | bool):
        raise ControlError(f"{name} must be a string or an integer, was {value!r}")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ControlError(f"{name} must be a number, was {value!r}") from None


def _moment(value: datetime | str | int) -> int:
    """Return milliseconds for an aware datetime, an ISO text or milliseconds."""
    if isinstance(value, int):
        return value
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


class Control:
    """Thread-safe access to one simulator. Methods marked `exposed` are the JSON API, argument for argument."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def call(self, http_method: str, name: str, arguments: Mapping[str, Any]) -> object:
        """Serve one JSON request."""
        function = getattr(self, name, None) if not name.startswith("_") else None
        wanted = getattr(function, "http_method", None)
        if function is None or wanted is None:
            raise ControlError(f"unknown control {name!r}")
        if wanted != http_method:
            raise ControlError(f"control {name!r} wants {wanted}, was {http_method}")
        try:
            signature(function).bind(**arguments)
        except TypeError as error:
            raise ControlError(f"control {name!r}: {error}") from None
        try:
            return function(**arguments)
        except Refusal as refusal:
            raise ControlError(f"refused: {refusal}") from None

    # helpers
    def _account(self, name: str) -> Account:
        found = self._simulator.venue.accounts.get(name)
        if found is None:
            raise ControlError(f"unknown account {name!r}; there are {sorted(self._simulator.venue.accounts)}")
        return found

    def _present(self) -> None:
        self._simulator.venue.settle()

    # health and accounts
    @exposed("GET")
    def health(self) -> dict[str, object]:
        """Tell which venue this is, its clocks and how much it has done."""
        with self._simulator.lock:
            self._present()
            venue = self._simulator.venue
            return {
                "ok": True,
                "venue": self._simulator.front.name,
                "engine_ms": venue.clock.now_ms(),
                "market_ms": venue.clock.market_ms(),
                "market_time": datetime.fromtimestamp(venue.clock.market_ms() / 1000, UTC),
                "gateway_ms": venue.clock.gateway_ms(),
                "accounts": sorted(venue.accounts),
                "instruments": len(venue.instruments),
                "requests": self._simulator.request_count,
            }

    @exposed("GET")
    def accounts(self) -> list[dict[str, object]]:
        """List accounts with their keys (without secrets)."""
        with self._simulator.lock:
            return [
                {
                    "name": account.name,
                    "uid": account.uid,
                    "position_mode": account.default_mode,
                    "keys": [{"api_key": k.key, "read_only": k.read_only, "ips": k.ips} for k in account.keys],
                }
                for account in self._simulator.venue.accounts.values()
            ]

    @exposed("POST")
    def create_account(self, **fields: Any) -> dict[str, object]:
        """Open an account from the fields of AccountConfig and fund it."""
        config = AccountConfig.model_validate(fields)
        with self._simulator.lock:
            venue = self._simulator.venue
            if config.name in venue.accounts:
                raise ControlError(f"account {config.name!r} exists already")
            account = config.build(len(venue.accounts) + 1)
            venue.accounts[account.name] = account
            for coin, amount in config.balances.items():
                venue.deposit(account, coin, amount)
            return {"name": account.name, "uid": account.uid, "api_key": account.keys[0].key}

    @exposed("POST")
    def add_key(self, account: str, **fields: Any) -> dict[str, object]:
        """Add an API key (fields of KeyConfig) to an account."""
        config = KeyConfig.model_validate(fields)
        with self._simulator.lock:
            owner = self._account(account)
            if any(config.api_key == k.key for a in self._simulator.venue.accounts.values() for k in a.keys):
                raise ControlError(f"api key {config.api_key!r} exists already")
            owner.keys.append(config.build())
            return {"account": account, "api_key": config.api_key}

    @exposed("POST")
    def revoke_key(self, account: str, api_key: str) -> None:
        """Delete an API key."""
        with self._simulator.lock:
            owner = self._account(account)
            left = [key for key in owner.keys if key.key != api_key]
            if len(left) == len(owner.keys):
                raise ControlError(f"account {account!r} has no key {api_key!r}")
            owner.keys[:] = left

    # cash
    @exposed("POST")
    def deposit(self, account: str, coin: str, amount: Number) -> Decimal:
        """Add to a wallet; return its balance."""
        return self._move(account, coin, _decimal(amount, "amount"), EntryKind.DEPOSIT)

    @exposed("POST")
    def withdraw(self, account: str, coin: str, amount: Number) -> Decimal:
        """Take from a wallet; return its balance."""
        return self._move(account, coin, -_decimal(amount, "amount"), EntryKind.WITHDRAWAL)

    def _move(self, account: str, coin: str, amount: Decimal, kind: EntryKind) -> Decimal:
        with self._simulator.lock:
            self._present()
            owner = self._account(account)
            self._simulator.venue.deposit(owner, coin, amount, kind=kind)
            return owner.wallet(coin)

    @exposed("POST")
    def transfer(self, source: str, target: str, coin: str, amount: Number) -> None:
        """Move money between two accounts."""
        value = _decimal(amount, "amount")
        if value <= 0:
            raise ControlError(f"amount must be positive, was {value}")
        with self._simulator.lock:
            self._account(target)
            self._move(source, coin, -value, EntryKind.TRANSFER_OUT)
            self._move(target, coin, value, EntryKind.TRANSFER_IN)

    # the account's human
    @exposed("POST")
    def place_order(
        self,
        account: str,
        symbol: str,
        side: str,
        qty: Number,
        price: Number | None = None,
        kind: str = "linear",
        client_id: str = "",
        reduce_only: bool = False,
        position_side: str | None = None,
        time_in_force: str = "gtc",
    ) -> Order:
        """Place an order as the account's human would in the venue's own screens; without price, a market order."""
        market, direction = MarketKind(kind), OrderSide(side.lower())
        with self._simulator.lock:
            self._present()
            owner, venue = self._account(account), self._simulator.venue
            instrument = venue.instrument(market, symbol)
            default = position_side_for(owner.mode(instrument), direction, reduce_only)
            spot = market is MarketKind.SPOT
            request = OrderRequest(
                kind=market,
                symbol=symbol,
                side=direction,
                order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
                qty=_decimal(qty, "qty"),
                price=None if price is None else _decimal(price, "price"),
                time_in_force=TimeInForce.IOC if price is None else TimeInForce(time_in_force),
                client_id=client_id,
                reduce_only=reduce_only,
                position_side=PositionSide(position_side) if position_side else PositionSide.BOTH if spot else default,
                origin=Origin.HUMAN,
            )
            return venue.place(owner, request)

    @exposed("POST")
    def cancel_order(self, account: str, order_id: str) -> Order:
        """Cancel an order as the venue's staff would."""
        with self._simulator.lock:
            self._present()
            return self._simulator.venue.cancel(self._account(account), order_id, reason=Reason.CANCELLED_BY_ADMIN)

    # market and clock
    @exposed("POST")
    def set_price(self, symbol: str, price: Number) -> None:
        """Move a symbol's last price; orders and stops react."""
        with self._simulator.lock:
            try:
                self._simulator.venue.set_price(symbol, _decimal(price, "price"))
            except ValueError as error:
                raise ControlError(str(error)) from None

    @exposed("GET")
    def prices(self) -> dict[str, Decimal]:
        """Return the raw last prices."""
        with self._simulator.lock:
            self._present()
            return dict(self._simulator.venue.board.raw)

    def quote(self, symbol: str, kind: str = "linear") -> Quote:
        """Return the present top of the book."""
        with self._simulator.lock:
            self._present()
            venue = self._simulator.venue
            return venue.board.quote(venue.instrument(MarketKind(kind), symbol))

    @exposed("POST")
    def advance(
        self,
        seconds: int = 0,
        days: int = 0,
        to: datetime | str | int | None = None,
        changes: int = 0,
    ) -> dict[str, object]:
        """Move the market forward: by a span, to a moment, or through the next `changes` price changes."""
        if sum(map(bool, (seconds or days, to is not None, changes))) != 1:
            raise ControlError("give either seconds and days, or to, or changes")
        with self._simulator.lock:
            venue = self._simulator.venue
            if changes:
                for _ in range(changes):
                    due = venue.board.next_ms()
                    if due is None:
                        raise ControlError("no further price change is due")
                    venue.advance(due)
            else:
                target = _moment(to) if to is not None else venue.clock.market_ms() + (seconds + 86_400 * days) * 1000
                try:
                    venue.advance(target)
                except ValueError as error:
                    raise ControlError(str(error)) from None
            return self.health()

    @exposed("POST")
    def set_skew(self, skew_ms: int) -> None:
        """Shift the venue's clock against the machine's."""
        with self._simulator.lock:
            self._simulator.venue.clock.skew_ms = skew_ms

    @exposed("POST")
    def load_replay(
        self,
        path: str | Path,
        columns: Mapping[str, str],
        time_column: str = "Date",
        start: datetime | str | int | None = None,
    ) -> dict[str, object]:
        """Replay a file for the symbols of `columns`; `start` places the market's clock in its history."""
        with self._simulator.lock:
            self._present()
            venue = self._simulator.venue
            replay = Replay.read(Path(path), columns=columns, time_column=time_column)
            if start is not None:
                venue.clock.place_market(_moment(start))
            replay.start(venue.clock.market_ms(), venue.board.raw)
            kept = [s for s in venue.board.sources if not isinstance(s, Replay)]
            venue.board.sources = [*kept, replay]
            for symbol in columns:
                venue.board.refresh(symbol)
            return self.health()

    @exposed("POST")
    def set_funding_rate(self, rate: Number, symbol: str | None = None) -> None:
        """Set the funding rate of a symbol, or of all that have none of their own."""
        value = _decimal(rate, "rate")
        with self._simulator.lock:
            if symbol is None:
                self._simulator.venue.funding_rate = value
            else:
                self._simulator.venue.funding_rates[symbol] = value

    @exposed("POST")
    def set_liquidity(self, symbol: str | None = None, **fields: Any) -> None:
        """Bound what can be traded (fields of LiquidityConfig), for one symbol or for all."""
        liquidity = LiquidityConfig.model_validate(fields).build()
        with self._simulator.lock:
            board = self._simulator.venue.board
            if symbol is None:
                board.liquidity = liquidity
            else:
                board.liquidity_of[symbol] = liquidity
            for name in [symbol] if symbol else list(board.raw):
                board.refresh(name)

    @exposed("POST")
    def set_lags(self, **fields: Any) -> None:
        """Set apply and visibility lags (fields of LagsConfig, milliseconds)."""
        with self._simulator.lock:
            self._simulator.venue.lags = LagsConfig.model_validate(fields).build()

    @exposed("POST")
    def set_rate_limits(self, enabled: bool) -> None:
        """Switch the venue's request limits on or off."""
        with self._simulator.lock:
            self._simulator.front.set_rate_limits(enabled=enabled)

    # truth
    @exposed("GET")
    def orders(self, account: str, open_only: bool | str = False) -> list[Order]:
        """Return an account's orders, oldest first, as the engine has them."""
        with self._simulator.lock:
            self._present()
            owner = self._account(account)
            if open_only in (True, "true", "1"):
                return owner.open_orders()
            return [revisions.now for revisions in owner.orders.values()]

    @exposed("GET")
    def executions(self, account: str) -> list[Execution]:
        """Return an account's executions, oldest first, funding included."""
        with self._simulator.lock:
            self._present()
            return list(self._account(account).executions)

    @exposed("GET")
    def positions(self, account: str) -> list[Position]:
        """Return an account's positions that are not flat."""
        with self._simulator.lock:
            self._present()
            return self._account(account).positions()

    @exposed("GET")
    def wallets(self, account: str) -> dict[str, Decimal]:
        """Return an account's wallet balances."""
        with self._simulator.lock:
            self._present()
            return self._account(account).wallets()

    @exposed("GET")
    def margin(self, account: str, coin: str = "USDT") -> MarginState:
        """Return the margin state of a settlement coin."""
        with self._simulator.lock:
            self._present()
            return self._simulator.venue.margin.state(self._account(account), coin)

    @exposed("GET")
    def transaction_log(self, account: str) -> list[Entry]:
        """Return every wallet change of an account, oldest first."""
        with self._simulator.lock:
            self._present()
            return list(self._account(account).entries)

    @exposed("GET")
    def closed_trades(self, account: str) -> list[ClosedTrade]:
        """Return an account's closed profit and loss rows, oldest first."""
        with self._simulator.lock:
            self._present()
            return list(self._account(account).closed)

    @exposed("GET")
    def requests(self, since: int | str = 0, path: str = "", method: str = "") -> list[RequestRecord]:
        """Return logged requests with a number above `since`, optionally of one path or method."""
        with self._simulator.lock:
            return [
                record
                for record in self._simulator.requests
                if record.number > int(since) and path in ("", record.path) and method in ("", record.method)
            ]

    # faults
    @exposed("POST")
    def add_fault(self, match: Mapping[str, Any] | None = None, action: Any = None, **fields: Any) -> str:
        """Arm a fault given as JSON (fields of Fault); return its id."""
        if action is None:
            raise ControlError("a fault needs an action")
        return self.arm(Fault.model_validate({"match": match or {}, "action": action, **fields}))

    def arm(self, fault: Fault) -> str:
        """Arm a fault object; return its id."""
        with self._simulator.lock:
            return self._simulator.faults.add(fault, now_ms=self._simulator.venue.clock.gateway_ms())

    def fault(self, kind: FaultKind | str, *, path: str = "*", times: int | None = 1, **fields: Any) -> str:
        """Arm the common case: a kind of fault on a path; other fields go to Match or Action by name."""
        chosen = FaultKind(kind)
        match = {name: fields.pop(name) for name in list(fields) if name in Match.model_fields}
        action = Action.model_validate({"kind": chosen, **fields})
        return self.arm(Fault(match=Match.model_validate({"path": path, **match}), action=action, times=times))

    @exposed("GET")
    def faults(self) -> list[dict[str, object]]:
        """List armed faults with how often they matched and fired."""
        with self._simulator.lock:
            return [
                {**fault.model_dump(mode="json"), "matched": seen, "fired": fired}
                for fault, seen, fired in self._simulator.faults.listed()
            ]

    @exposed("POST")
    def clear_faults(self, fault_id: str | None = None) -> int:
        """Disarm one fault or all; return how many."""
        with self._simulator.lock:
            return self._simulator.faults.clear(fault_id)

    @exposed("POST")
    def reset(self) -> None:
        """Go back to the configuration."""
        self._simulator.reset()
