"""The frame: a venue is one row, `VENUE = VenueUnderTest(...)` in `tests/conformance/venues/<venue>.py`.

Every module there is found by itself; nothing else has to be edited to add a venue. What a row holds:

`wire`       the venue's row of the wire proof (tests/proof/venues): name, account, products with instrument, symbol and
             kind, the paths of each verb, how the simulator is started on a clock of its own, how the account is
             configured. The suite reads it and says none of it again.
`lacks`      product name (or "*") -> capabilities that the venue has not although its `Capabilities` do not speak of
             them. The card must then end in the typed Unsupported; anything else fails.
`as_positions`  products of kind spot that the venue shows as positions all the same.
`keys`       how to open an account with another right: `KeyKind` -> changes of the AccountConfig, or a function of the
             simulator's URL that gives them. Absent: the venue has no such key, and the card is not listed.
`errors`     every row of the venue's error table as (what the simulator's fault `error` is given, the error class that
             an order must raise). A code is an int, or an int with the text that decides.
`shapes`     where its answers are spoiled: see `Shape`.
`many`       starts a simulator with fifty instruments and gives their ids, for quotes of fifty symbols.
`serve`      adds to a loopback server what the adapter asks for before an operation's own request (clock, token,
             instruments) at the time of a recorded body, which comes on top.
`recorded_account`  the AccountConfig for that loopback server.
`hosts_are_shared`  environments have the same hosts, and each request says which one it is meant for.
`client`     an independent client (ccxt, an SDK) on the simulator and how its reading differs: see differential.py.

The whole of it is data and short methods. A row may leave out what is not ready: cards that need it are then not
listed for the venue, and `algotrendy venues` shows no proof there until it is.

    from tests.conformance.venue import VenueUnderTest, wire_row

    VENUE = VenueUnderTest(wire=wire_row("binance"), lacks={"spot": frozenset({Capability.LEVERAGE})})

Run one venue: `make conformance VENUE=binance`, or `.venv/bin/pytest -n 0 tests/conformance -k binance`. The first
writes `cli/conformance/binance.simulated.json`, and `algotrendy venues --markdown > docs/venues.md` makes the page of
it: commit both. A plain test run compares each outcome with that file and fails where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from brokers import registry
from brokers.capabilities import Capabilities
from brokers.config import AccountConfig
from brokers.errors import BrokerError
from brokers.ids import InstrumentId, Venue
from tests.brokers.loopback import Loopback
from tests.conformance.capability import Capability
from tests.proof.wire_venues import Product, WireVenue

VENUES = Path(__file__).parent / "venues"
EVERY_PRODUCT = "*"


class KeyKind(StrEnum):
    """Other keys that the small simulated venues know."""

    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong secret"
    READ_ONLY = "read only"
    CAN_WITHDRAW = "can withdraw"
    EXPIRED = "expired"
    BOUND_ELSEWHERE = "bound to another address"
    AGREED = "of an owner who lets the dead-man switch cancel all orders"


ErrorRow = tuple[int | tuple[int, str], type[BrokerError]]


@dataclass(frozen=True)
class Shape:
    """Where one operation's rows lie in a recorded body, and which of their fields matter.

    `recording` is the id of the recorded body that is spoiled; `row` is the way to one row of it (keys and
    indices). `closed_set`: fields whose value is one of a closed set and decides what the row means: an unknown value
    must be AnswerUnreadable. `required`: absent, null or empty must be AnswerUnreadable. `numbers`: what is no finite
    number must be AnswerUnreadable. `optional`: absent or empty must read as "the venue says nothing" (None), never as
    zero: names of the venue's field -> attribute of our value.
    """

    recording: str
    row: tuple[str | int, ...]
    closed_set: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    optional: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VenueUnderTest:
    """One venue's row; the module's docstring says what each field is for."""

    wire: WireVenue
    lacks: Mapping[str, frozenset[Capability]] = field(default_factory=dict)
    as_positions: frozenset[str] = frozenset()
    keys: Mapping[KeyKind, Mapping[str, Any] | Callable[[str], Mapping[str, Any]]] = field(default_factory=dict)
    errors: Callable[[], Iterable[ErrorRow]] | None = None
    shapes: tuple[Shape, ...] = ()
    many: Callable[[datetime], AbstractContextManager[tuple[Any, Sequence[InstrumentId]]]] | None = None
    serve: Callable[[Loopback, datetime], None] | None = None
    recorded_account: Callable[[str], AccountConfig] | None = None
    client: Any = None
    requests_max: Mapping[str, int] = field(default_factory=dict)  # of what takes more here than elsewhere
    hosts_are_shared: bool = False

    @property
    def name(self) -> str:
        return self.wire.name

    @property
    def products(self) -> tuple[Product, ...]:
        return self.wire.products

    @cached_property
    def capabilities(self) -> Capabilities:
        return registry.capabilities(Venue(self.name))

    @property
    def has_maintenance_code(self) -> bool:
        """Whether the venue has words for an outage; one whose gateway answers for it proves nothing then."""
        return all("maintenance" in product.codes for product in self.products)

    def is_position(self, product: Product) -> bool:
        """Whether what is held of it shows as a position; a card checks that against the instrument itself."""
        return product.kind != "spot" or product.name in self.as_positions

    def is_lacking(self, capability: Capability, product: Product) -> bool:
        """Whether the row itself says that the venue has not this, for this product."""
        return any(capability in self.lacks.get(key, ()) for key in (EVERY_PRODUCT, product.name))


def wire_row(name: str) -> WireVenue:
    """The venue's row of the wire proof, tests/proof/venues/<name>.py."""
    row: WireVenue = import_module(f"tests.proof.venues.{name}").VENUE
    return row


def venues() -> tuple[VenueUnderTest, ...]:
    """Every venue that has a row, by name."""
    modules = sorted(path.stem for path in VENUES.glob("[a-z]*.py"))
    return tuple(import_module(f"tests.conformance.venues.{name}").VENUE for name in modules)
