"""Open what a command works with: accounts, portfolios and subscriptions, from a file or from a stack's blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from brokers.clock import SystemClock
from brokers.ids import AccountId, Environment
from cli.failures import CliError
from deployments.home import API_VARIABLE, Addresses, Home

if TYPE_CHECKING:
    from sqlmodel import Session

    from brokers.port import Broker
    from ledger.control_file import ControlFile
    from ledger.engine import Ledger
    from tasks.config import Account, Configuration
    from trading.rebalancing.portfolio import Portfolio
    from trading.rebalancing.subscription import Subscription
    from trading.runtime import Runtime

CLOCK: Final = SystemClock()
SIMULATOR_VARIABLE: Final = "ALGOTRENDY_SIMULATOR"
LEDGER_VARIABLE: Final = "ALGOTRENDY_LEDGER_URL"
KEY_REGISTRY_VARIABLE: Final = "ALGOTRENDY_KEY_REGISTRY"
CONTROL_FILE_VARIABLE: Final = "ALGOTRENDY_CONTROL_FILE"
HEALTH_TIMEOUT_S: Final = 15.0  # a server that is away refuses at once; one that is busy answers late
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One account as it is listed; `address` is a host's name or a simulator's URL."""

    name: str
    account_id: str
    venue: str
    environment: str
    address: str


@dataclass(frozen=True, slots=True)
class PortfolioLine:
    name: str
    currency: str
    lines: int
    targets: str


@dataclass(frozen=True, slots=True)
class SubscriptionLine:
    """One subscription as it is listed."""

    name: str
    portfolio: str
    split: str
    accounts: str
    approval: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What there is to choose from."""

    accounts: tuple[AccountLine, ...]
    portfolios: tuple[PortfolioLine, ...]
    subscriptions: tuple[SubscriptionLine, ...] = ()


# -- choosing ---------------------------------------------------------------------------------------------------
def account_id(text: str) -> AccountId:
    """An account's id from either of its spellings, `bybit.testnet.main` or `bybit-testnet-main`."""
    from tasks.config import ConfigRefused, account_id_of

    try:
        return AccountId.parse(text) if "." in text else account_id_of(text)
    except (ConfigRefused, ValueError) as error:
        raise CliError(str(error), field="--account", value=text, remedy="e.g. bybit-testnet-main") from error


def require_on_record(session: Session, wanted: AccountId | None) -> None:
    """CliError where the ledger has never seen the account: an empty answer would look like a good one."""
    from sqlmodel import select

    from ledger.tables import AccountRow

    known = sorted(session.exec(select(AccountRow.account_id)))
    if wanted is not None and str(wanted) not in known:
        raise CliError(
            f"the ledger has never seen {wanted}",
            field="--account",
            value=str(wanted),
            remedy=f"one of {', '.join(known)}" if known else "its ledger is empty: name the environment with -e",
        )


def account(name: str, file: Path | None) -> Account:
    """The account by name, or the only one; CliError lists what there is."""
    if file is not None:
        configuration = _configuration(file)
        chosen = _choose("account", name, [item.block_name for item in configuration.accounts], str(file))
        return configuration.account(chosen).resolve()
    use_stack()
    from tasks.blocks import load_account

    chosen = _choose("account", _block_name(name), _block_names("trading-account"), "the stack's blocks")
    return load_account(chosen, environment=_environment_of(chosen))


def portfolio(name: str, file: Path | None) -> Portfolio:
    """The portfolio by name, or the only one; CliError lists what there is."""
    if file is not None:
        configuration = _configuration(file)
        chosen = _choose("portfolio", name, [item.name for item in configuration.portfolios], str(file))
        return configuration.portfolio(chosen)
    use_stack()
    from tasks.blocks import load_portfolio

    return load_portfolio(_choose("portfolio", name, _block_names("portfolio"), "the stack's blocks"))


def subscription(name: str, file: Path | None) -> Subscription:
    """The subscription by name, or the only one; CliError lists what there is."""
    if file is not None:
        configuration = _configuration(file)
        chosen = _choose("subscription", name, [item.name for item in configuration.subscriptions], str(file))
        return configuration.subscription(chosen)
    use_stack()
    from tasks.blocks import load_subscription

    return load_subscription(_choose("subscription", name, _block_names("subscription"), "the stack's blocks"))


def _choose(kind: str, name: str, known: list[str], where: str) -> str:
    if not name and len(known) == 1:
        return known[0]
    if not name or (name not in known and "." not in name):
        listed = ", ".join(sorted(known)) or "none"
        problem = (
            f"there is no {kind} {name!r} in {where}" if name else f"name one of the {len(known)} {kind}s in {where}"
        )
        raise CliError(
            problem,
            field=f"--{kind}",
            value=name,
            remedy=f"known: {listed}" if known else "load some with `algotrendy accounts apply FILE`",
        )
    return name


def _block_name(name: str) -> str:
    """Accept an account id where a block's name is meant."""
    from tasks.config import block_name

    if "." not in name:
        return name
    try:
        return block_name(AccountId.parse(name))
    except ValueError as error:
        raise CliError(str(error), field="--account", value=name, remedy="e.g. bybit.simulated.demo") from error


def _environment_of(name: str) -> Environment:
    for environment in Environment:
        if f"-{environment.value}-" in name:
            return environment
    raise CliError(
        f"account block {name!r} does not name its environment",
        field="--account",
        value=name,
        remedy="save it as venue-environment-name, for instance bybit-testnet-main",
    )


def _require_address(chosen: Account) -> Account:
    """Say how a simulator is started where a simulated account has no address, or that of another venue's; the adapter
    would only refuse it."""
    account_id, url = chosen.account_id, chosen.connection.base_url
    if account_id.environment is not Environment.SIMULATED:
        return chosen
    if not url:
        raise CliError(
            f"{account_id} is a simulated account, and this command knows of no simulator that runs",
            title="No simulator",
            field=SIMULATOR_VARIABLE,
            remedy="start the stack with `algotrendy up`, or one venue with `algotrendy simulate "
            f"{account_id.venue.value}` and export the address that it prints as {SIMULATOR_VARIABLE}; in a block its "
            "place is the field Simulator address, and the card of `algotrendy up` shows the addresses",
        )
    found = _simulated_venue(url)
    if found and found != account_id.venue.value:
        named = os.environ.get(SIMULATOR_VARIABLE, "")
        raise CliError(
            f"the simulator at {url} is {found}'s, and {account_id} is an account of {account_id.venue.value}",
            title="Another venue's simulator",
            field=SIMULATOR_VARIABLE if url == named else "base_url",
            value=url,
            remedy=f"name the account's own: start it with `algotrendy simulate {account_id.venue.value}`. "
            f"{SIMULATOR_VARIABLE} is one address, so it serves the accounts of one venue; an account's base_url in "
            "the file comes before it",
        )
    return chosen


def _simulated_venue(url: str) -> str:
    """Which venue the simulator there says it is; "" where nobody says, which the adapter finds out for itself."""
    from urllib.parse import urlsplit

    import requests

    if urlsplit(url).hostname not in LOOPBACK:
        return ""
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{url}/_control/health", timeout=HEALTH_TIMEOUT_S, allow_redirects=False)
            return str(answer.json()["venue"]) if answer.ok else ""
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return ""


# -- opening ----------------------------------------------------------------------------------------------------
@contextmanager
def connection(name: str, file: Path | None) -> Iterator[Broker]:
    """The account's broker before any request, closed at the end."""
    from tasks.runtime import open_guarded

    with open_guarded(
        _require_address(account(name, file)).connection,
        key_registry=key_registry(),
        clock=CLOCK,
        secrets_folder=secrets_folder(),
    ) as opened:
        yield opened


@contextmanager
def broker(name: str, file: Path | None) -> Iterator[Broker]:
    """The account's broker, proved at the venue, closed at the end."""
    from trading.starting import refuse_withdrawal

    with connection(name, file) as opened:
        refuse_withdrawal(opened.connect())
        yield opened


@contextmanager
def runtime(
    chosen: Account, *, trades: bool = False, own_sweep: bool = False, only_reduces: bool = False
) -> Iterator[Runtime]:
    """Broker, ledger and order desk of one account, proved at the venue, closed at the end.

    The proof is recorded: a key that belongs to another account of the venue than before is refused. What `trades`
    passes trading.starting first, and trading.first_run unless it `only_reduces`; with `own_sweep` only the key's
    rights are checked, because the work itself looks at the orders of ours at the venue and reports them.
    """
    from trading.first_run import reconcile_first
    from trading.starting import prove_account, refuse_withdrawal, require_rights, start_trading

    with unproved(chosen) as opened:
        proof = prove_account(opened)
        refuse_withdrawal(proof)
        if trades and own_sweep:
            require_rights(proof)
        elif trades:
            start_trading(opened, proof)
            if not only_reduces:
                reconcile_first(opened)
        yield opened


@contextmanager
def unproved(chosen: Account, *, shared: Ledger | None = None) -> Iterator[Runtime]:
    """The same before any request; `shared` is the ledger where several accounts of one command use it."""
    from tasks.process import is_dry_run
    from tasks.runtime import open_runtime

    environment = chosen.account_id.environment
    with open_runtime(
        _require_address(chosen),
        environment=environment,
        ledger_url=ledger_url(environment),
        key_registry=key_registry(),
        pool=environment.value,
        control_file=control_path(),
        dry_run=is_dry_run(os.environ),
        secrets_folder=secrets_folder(),
        shared=shared,
    ) as opened:
        yield opened


@contextmanager
def ledger(environment: Environment, *, must_exist: bool = False) -> Iterator[Ledger]:
    """The environment's ledger alone: no venue is asked anything. With `must_exist` no new one is made where a proof
    of nothing would look like a proof."""
    from ledger.engine import Ledger as Opened

    if must_exist:
        _require_ledger(ledger_url(environment))
    with Opened.open(ledger_url(environment), environment=environment) as opened:
        yield opened


def _require_ledger(url: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from deployments.home import HOME_VARIABLE

    try:
        parsed = make_url(url)
    except ArgumentError:
        return  # the ledger says what is wrong with its address
    file = parsed.database
    if parsed.get_backend_name() == "sqlite" and file and not file.startswith("file:") and not Path(file).exists():
        raise CliError(
            f"there is no ledger at {without_password(url)}",
            title="No ledger",
            field=LEDGER_VARIABLE if os.environ.get(LEDGER_VARIABLE) else HOME_VARIABLE,
            value=(os.environ.get(LEDGER_VARIABLE) and without_password(url)) or str(Home.default().root),
            remedy=f"run it on the workers' machine, or set {HOME_VARIABLE} or {LEDGER_VARIABLE} to what they use",
        )


def secrets_folder() -> Path:
    """ALGOTRENDY_SECRETS where set, else the home folder's: the keys of armings and of the people who may arm."""
    from trading.arming.people import secrets_folder as named

    found = named()
    if found is not None:
        return found
    home = Home.default()
    home.prepare()
    return home.secrets


def ledger_url(environment: Environment) -> str:
    """ALGOTRENDY_LEDGER_URL where set, else the environment's ledger in the home folder: the one that flows use."""
    named = os.environ.get(LEDGER_VARIABLE, "")
    if named:
        return named
    home = Home.default()
    home.prepare()
    return home.ledger_url(environment)


def key_registry() -> Path:
    """ALGOTRENDY_KEY_REGISTRY where set, else the file in the home folder: the one that flows use."""
    named = os.environ.get(KEY_REGISTRY_VARIABLE, "")
    return Path(named) if named else Home.default().key_registry


def control_path() -> Path | None:
    """ALGOTRENDY_CONTROL_FILE where set; None: beside the SQLite ledger."""
    named = os.environ.get(CONTROL_FILE_VARIABLE, "")
    return Path(named) if named else None


def control_file(environment: Environment) -> ControlFile | None:
    """The environment's control file, as the desks find it; None for a server's ledger without the variable."""
    from ledger.control_file import ControlFile as File

    named = control_path()
    return File(named) if named is not None else File.beside(ledger_url(environment))


def _configuration(file: Path) -> Configuration:
    from tasks.config import load

    configuration = load(file)
    named = os.environ.get(SIMULATOR_VARIABLE, "")
    if named:
        return configuration.at_simulator(named)
    addresses = running_stack()
    return configuration if addresses is None else configuration.at_simulators(addresses.simulators)


# -- the stack --------------------------------------------------------------------------------------------------
def running_stack() -> Addresses | None:
    """Where the local stack listens, if its supervisor lives."""
    from deployments import home

    return home.running_stack(Home.default())


def use_stack() -> str:
    """Point Prefect at PREFECT_API_URL or at the local stack, before it is imported; CliError when none answers."""
    url = os.environ.get(API_VARIABLE, "")
    if not url:
        addresses = running_stack()
        if addresses is None:
            raise CliError(
                "no accounts file was given and no local stack is running",
                field="--accounts",
                remedy="give --accounts FILE, start a stack with `algotrendy up`, or set PREFECT_API_URL",
            )
        from deployments.settings import client_settings

        url = addresses.api_url
        os.environ.update(client_settings(Home.default(), api_url=url))
    _require_answer(url)
    return url


def _require_answer(url: str) -> None:
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False
            session.get(f"{url}/health", timeout=HEALTH_TIMEOUT_S, allow_redirects=False).raise_for_status()
    except requests.Timeout as error:
        raise CliError(
            f"the Prefect server is there and did not answer within {HEALTH_TIMEOUT_S:.0f} s: it is busy, or hangs",
            field=API_VARIABLE,
            value=without_password(url),
            remedy="try again in a moment, or give --accounts FILE, which needs no server",
        ) from error
    except requests.RequestException as error:
        raise CliError(
            f"the Prefect server does not answer ({type(error).__name__})",
            field=API_VARIABLE,
            value=without_password(url),
            remedy="start it with `algotrendy up`, correct the address, or give --accounts FILE",
        ) from error


def without_password(url: str) -> str:
    """The address alone: an address may carry the server's password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _block_names(slug: str) -> list[str]:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            documents = client.read_block_documents_by_type(slug)
        except ObjectNotFound:
            return []
    return sorted(document.name for document in documents if document.name)


def apply(file: Path) -> Iterator[str]:
    """Store the file's accounts and portfolios as blocks of the stack; a line for each."""
    configuration = _configuration(file)
    use_stack()
    from prefect.client.orchestration import get_client

    from deployments.deploy import ready_accounts, refresh_forms, switch_on
    from deployments.register import apply as save

    with get_client(sync_client=True) as client:
        before = ready_accounts(client)
        yield from save(configuration)
        changed = refresh_forms(client)
        switched = switch_on(client, ready_accounts(client) - before)
    if changed:
        yield f"forms of {changed} deployments offer what is stored now"
    if switched:
        yield f"{switched} schedules of accounts that are new here are on now, as prefect.yaml says"


# -- listing ----------------------------------------------------------------------------------------------------
def account_names(environment: Environment, file: Path | None) -> list[str]:
    """Names of the environment's accounts, by the words alone: a block that is wrong hides no other one."""
    if file is not None:
        accounts = _configuration(file).accounts
        return [item.block_name for item in accounts if item.environment is environment]
    use_stack()
    return [name for name in _block_names("trading-account") if f"-{environment.value}-" in name]


def catalogue(file: Path | None) -> Catalogue:
    """Accounts, portfolios and subscriptions without their secrets."""
    if file is not None:
        configuration = _configuration(file)
        return Catalogue(
            accounts=tuple(_account_line(item) for item in configuration.accounts),
            portfolios=tuple(_portfolio_line(item) for item in configuration.portfolios),
            subscriptions=tuple(_subscription_line(item) for item in configuration.subscriptions),
        )
    use_stack()
    from tasks.blocks import TradingAccount, load_portfolio, load_subscription

    return Catalogue(
        accounts=tuple(_account_line(TradingAccount.load(name)) for name in _block_names("trading-account")),
        portfolios=tuple(_portfolio_line(load_portfolio(name)) for name in _block_names("portfolio")),
        subscriptions=tuple(_subscription_line(load_subscription(name)) for name in _block_names("subscription")),
    )


def _account_line(item: Any) -> AccountLine:
    from tasks.config import block_name

    account_id: AccountId = item.account_id
    return AccountLine(
        name=block_name(account_id),
        account_id=str(account_id),
        venue=account_id.venue.value,
        environment=account_id.environment.value,
        address=item.base_url or item.host or "the venue's first host",
    )


def _subscription_line(item: Subscription) -> SubscriptionLine:
    return SubscriptionLine(
        item.name, item.portfolio, item.split.value, ", ".join(item.account_names), item.approval.value
    )


def _portfolio_line(item: Portfolio) -> PortfolioLine:
    from flows.reports.plain import percent

    shown = [f"{instrument} {percent(weight)}" for instrument, weight in list(item.targets.items())[:6]]
    more = f", and {len(item.targets) - 6} more" if len(item.targets) > 6 else ""
    return PortfolioLine(item.name, item.quote_currency, len(item.targets), ", ".join(shown) + more)
