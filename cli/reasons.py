"""The reason catalogue: every stable code of every room with its meaning and remedy, collected from the code itself.

Rooms state their codes in one of three ways, all of which are found here: a StrEnum whose members have `meaning` and
`remedy`, a module-level mapping from code to an object with both (or to a pair of texts), or the error classes of
`brokers.errors`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Final

ROOMS: Final = ("brokers", "ledger", "trading", "webhooks", "tasks", "flows", "deployments")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
_TITLES: Final = {
    "brokers.errors": "What the venue layer raises",
    "flows.states": "How a run may end, beyond Prefect's own states",
    "trading.plan_store": "Why a plan was not worked on",
    "trading.rebalancing.view": "Why no plan could be made",
    "trading.starting": "Why an account may not trade now",
    "trading.sync": "Why a sync stored nothing",
    "trading.closing": "Closing positions",
    "trading.leverage": "Setting leverage",
    "brokers.tradestation.reasons": "Logging in at TradeStation",
    "tasks.config": "Configuration",
    "tasks.keys": "Why an API key may not be used",
    "deployments.manifest": "Deployments",
    "webhooks.reasons": "What the receiver answers, and why it does not start",
    "ledger.reasons": "What the ledger raises",
    "ledger.inbox_reasons": "Why an alert stands where it stands in the queue",
    "ledger.auditing": "What is wrong with the audit",
    "trading.alerts": "What became of an alert, and why",
    "trading.alerts.ends": "How the work on an alert ended, or why it waits",
    "trading.arming": "Why production is not armed",
    "trading.orders": "Why an order stands where it stands",
    "trading.risk": "Why an order was denied",
    "trading.rebalancing": "Why a line was not traded as wished",
    "trading.reconciliation": "What a reconciliation found",
}

# What a person does about an error of the venue layer; its meaning is the class's line in the tree of brokers.errors.
_BROKER_REMEDIES: Final = {
    "BROKER_ERROR": "Read the message and the venue's own code.",
    "NOT_SENT": "Safe to try again.",
    "ORDER_INVALID_LOCAL": "Correct the field that the message names.",
    "UNSUPPORTED": "See `algotrendy venues` for what the venue can do.",
    "ENVIRONMENT_MISMATCH": "Correct what the message names: key, host and pool are of the account's environment.",
    "CONNECT_FAILED": "Check network, DNS and the venue's status page; safe to try again.",
    "HOST_REFUSED": "Report it: something tried to reach a host that the account does not own.",
    "SECOND_SEND_REFUSED": "None: the transport did its duty. The resolver finds out what became of the first send.",
    "DEADLINE_PASSED": "None while time is left: a new attempt follows.",
    "VENUE_REFUSED": "Read the venue's code and text.",
    "VENUE_AUTHENTICATION": "Check key, secret, expiry and allowed addresses; a testnet key fails in production.",
    "VENUE_PERMISSION": "Give the key the permission, or trade a symbol that the account may.",
    "VENUE_INSUFFICIENT_FUNDS": "Deposit, free money held by open orders, or ask for less.",
    "VENUE_ORDER_INVALID": "Read the venue's text: price, quantity or order form breaks one of its rules.",
    "VENUE_INSTRUMENT_UNKNOWN": "Correct the symbol, or wait until it trades again.",
    "VENUE_ORDER_NOT_FOUND": "None: a look-up alone proves nothing, the resolver looks further.",
    "VENUE_ORDER_ALREADY_DONE": "None: the order is over; it is read again.",
    "VENUE_DUPLICATE_CLIENT_ORDER_ID": "None: it proves that our order exists; it is looked up.",
    "VENUE_RATE_LIMITED": "None: it waits as long as the venue says. If it lasts, look for another user of the key.",
    "VENUE_CLOCK_SKEWED": "Repair time synchronisation of this machine.",
    "VENUE_UNAVAILABLE": "Wait for the venue; see its status page.",
    "VENUE_NOT_MODIFIED": "None: the value was already so.",
    "OUTCOME_UNKNOWN": "None: the resolver looks for proof. Never send the order again by hand.",
    "ANSWER_TIMED_OUT": "None: the resolver looks for proof.",
    "CONNECTION_LOST": "None: the resolver looks for proof.",
    "VENUE_FAULTED": "None: the resolver looks for proof. See the venue's status page.",
    "TICKET_MISSING": "Report it: only the order desk may send, and it makes the ticket.",
    "VERIFICATION_FAILED": "Look at the setting at the venue, then set it again.",
    "REDIRECT_REFUSED": "Find out who redirects: a proxy, a portal, or a host that has moved.",
    "ANSWER_UNREADABLE": "Keep the raw answer in the ledger and report it: the venue may have changed its protocol.",
}


# Codes that stand alone in their modules, without a table.
_SINGLE: Final = (
    (
        "tasks.config",
        "CONFIG_REFUSED",
        "The configuration of an account or a portfolio cannot be used.",
        "Correct the place that the message names; nothing was sent.",
    ),
    (
        "deployments.manifest",
        "MANIFEST_REFUSED",
        "prefect.yaml has something that Prefect would pass over.",
        "Correct the deployment and field that the message names; nothing was deployed.",
    ),
    ("trading.plan_store", "PLAN_ERROR", "A plan could not be worked on.", "Read the message; it names the cause."),
    (
        "trading.closing",
        "POSITION_DISAGREES_WITH_FILLS",
        "After closing, the venue's position is not what the recorded fills leave.",
        "Reconcile the account before anything else is sent for this instrument.",
    ),
    (
        "trading.leverage",
        "LEVERAGE_NOT_TAKEN",
        "The venue accepted the leverage without an error, and reading it back shows another value.",
        "Look at the instrument at the venue: its risk limit or margin mode may bound the leverage.",
    ),
)
# Two lines of the tree in brokers.errors that say enough by their name there.
_BROKER_MEANINGS: Final = {
    "BROKER_ERROR": "The base of all errors of the venue layer.",
    "VENUE_INSUFFICIENT_FUNDS": "The venue says that the account has not enough money for this.",
}


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """One code. `module` says where it is made."""

    module: str
    code: str
    meaning: str
    remedy: str


@cache
def catalogue() -> tuple[Reason, ...]:
    """Every reason, by module and code. Imports every room: for documents and error panels only."""
    found: dict[tuple[str, str, str], Reason] = {}  # a table that is imported elsewhere is listed once
    for module in _modules():
        for reason in (*_of_enums(module), *_of_mappings(module)):
            found.setdefault((reason.code, reason.meaning, reason.remedy), reason)
    singles = (Reason(*single) for single in _SINGLE)
    return tuple(sorted([*found.values(), *singles, *_of_broker_errors()]))


def remedy_of(code: str) -> str:
    """The remedy of a code; "" for a code that has none."""
    if not code:
        return ""
    if code in _BROKER_REMEDIES:
        return _BROKER_REMEDIES[code]
    return next((reason.remedy for reason in catalogue() if reason.code == code), "")


def as_markdown() -> str:
    """docs/reasons.md, whole."""
    lines = [
        "# Reasons",
        "",
        "Every refusal, skip, break and state move carries one of these codes. They are stable: scripts and alerts may",
        "rely on them. Wherever the venue had a word in it, its own code and text stand beside ours.",
        "",
        "This page is written by `algotrendy reasons --markdown`; a test fails when it is not up to date.",
    ]
    modules = dict.fromkeys(reason.module for reason in catalogue())
    for module in modules:
        lines += ["", f"## {_title(module)}", "", f"From `{module}`.", ""]
        lines += ["| Code | Meaning | What to do |", "| :-- | :-- | :-- |"]
        lines += [
            f"| `{reason.code}` | {_cell(reason.meaning)} | {_cell(reason.remedy)} |"
            for reason in catalogue()
            if reason.module == module
        ]
    return "\n".join(lines) + "\n"


def _title(module: str) -> str:
    fitting = [prefix for prefix in _TITLES if module == prefix or module.startswith(prefix + ".")]
    return _TITLES[max(fitting, key=len)] if fitting else f"Codes of {module}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _modules() -> Iterator[ModuleType]:
    for room in ROOMS:
        package = importlib.import_module(room)
        yield package
        for info in pkgutil.walk_packages(package.__path__, prefix=f"{room}."):
            if "migrations" not in info.name and not info.name.endswith("__main__"):
                yield importlib.import_module(info.name)


def _of_enums(module: ModuleType) -> Iterator[Reason]:
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module.__name__ and issubclass(kind, Enum):
            for member in kind:
                yield from _stated(module, str(member.value), member)


def _of_mappings(module: ModuleType) -> Iterator[Reason]:
    for value in vars(module).values():
        if isinstance(value, Mapping) and not isinstance(value, type):
            for key, item in value.items():
                if isinstance(key, str) and not isinstance(key, Enum):
                    yield from _stated(module, key, item)


def _stated(module: ModuleType, code: str, holder: object) -> Iterator[Reason]:
    if isinstance(holder, tuple) and len(holder) == 2 and _CODE.fullmatch(code):
        meaning, remedy = holder
    else:
        meaning, remedy = getattr(holder, "meaning", None), getattr(holder, "remedy", None)
    if isinstance(meaning, str) and isinstance(remedy, str):
        yield Reason(module.__name__, code, meaning, remedy)


def _of_broker_errors() -> Iterator[Reason]:
    import brokers.errors as errors

    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.BrokerError):
            meaning = _tree_line(errors.__doc__ or "", name) or _BROKER_MEANINGS.get(kind.reason, "")
            yield Reason(errors.__name__, kind.reason, meaning, _BROKER_REMEDIES.get(kind.reason, ""))


def _tree_line(tree: str, name: str) -> str:
    """What the drawing in the module's docstring says beside a class."""
    for line in tree.splitlines():
        drawn = line.lstrip(" │├└─")
        if drawn == name or drawn.startswith(name + " "):
            text = drawn[len(name) :].strip()
            return text[:1].upper() + text[1:] + ("." if text and not text.endswith(".") else "")
    return ""
