"""The conformance matrix: venue × capability × kind of proof, from the outcomes of the last run.

`make conformance` writes cli/conformance/: one file per venue and environment, and the words of the cards. What a file
does not say is not claimed: a capability without a card at a venue shows as an empty cell, and a test looks for those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.reports.model import Table

FOLDER = "conformance"
CARDS = "cards.json"
KINDS = {
    "simulator": "S",
    "independent client": "C",
    "recorded body": "R",
    "wire layer": "W",
    "testnet": "T",
}
LEGEND = (
    "S: cards passed on the venue's simulator, per product. C: comparisons with an independent client. R: recorded "
    "bodies of the venue. W: cases of the wire layer (`make prove`). T: cards passed on the venue's testnet. U: cards "
    "that ended in the typed Unsupported, because the venue has no such thing."
)
REQUESTS = "requests per operation"


@dataclass(frozen=True, slots=True)
class Row:
    """One outcome of one card, as the file says it."""

    venue: str
    environment: str
    card: str
    capability: str
    proof: str
    outcome: str
    product: str = ""
    reason: str = ""
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """One spec card in words."""

    card: str
    capability: str
    given: str
    does: str
    expects: str


def outcomes(venues: Iterable[str] = ()) -> tuple[Row, ...]:
    """Every outcome of the last runs, of all venues or of those named."""
    wanted, rows = set(venues), []
    for file in sorted(files("cli").joinpath(FOLDER).iterdir(), key=lambda item: item.name):
        if file.name == CARDS or not file.name.endswith(".json"):
            continue
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if not wanted or found["venue"] in wanted:
            where = {"venue": found["venue"], "environment": found["environment"]}
            rows += [Row(**where, **row) for row in found["outcomes"]]
    return tuple(rows)


def cards() -> tuple[Words, ...]:
    """The deck in words, in its order."""
    text = files("cli").joinpath(FOLDER, CARDS).read_text(encoding="utf-8")
    return tuple(Words(**row) for row in json.loads(text))


def capabilities(rows: Iterable[Row]) -> list[str]:
    """Capabilities in the deck's order, then those that only other proofs speak of."""
    known = dict.fromkeys([words.capability for words in cards()])
    return list(known | dict.fromkeys(row.capability for row in rows))


def cell(rows: Iterable[Row]) -> str:
    """What proves one capability at one venue: letters with the number of cards; empty where nothing does."""
    own = list(rows)
    parts = []
    for kind, letter in KINDS.items():
        passed = [row for row in own if row.proof == kind and row.outcome == "passed"]
        number = sum(row.count or 0 for row in passed) if letter == "W" else len(passed)
        parts += [f"{letter}{number}"] if number else []
    refused = sum(row.outcome == "unsupported" for row in own)
    return " ".join([*parts, *([f"U{refused}"] if refused else [])])


def matrix(rows: tuple[Row, ...]) -> Table:
    """One line per capability, one column per venue."""
    from flows.reports.model import Column, Table

    venues = sorted({row.venue for row in rows})
    lines = [
        (name, *(cell(row for row in rows if row.venue == venue and row.capability == name) for venue in venues))
        for name in capabilities(rows)
    ]
    return Table(
        name="conformance",
        title="How it is proved",
        columns=(Column("Capability"), *(Column(venue, narrow=index < 6) for index, venue in enumerate(venues))),
        rows=tuple(line for line in lines if any(line[1:])),
        note=LEGEND,
    )


def requests(rows: tuple[Row, ...]) -> Table:
    """How many requests one operation takes, as counted by the simulators."""
    own = tuple(row for row in rows if row.capability == REQUESTS)
    words = {one.card: one.does.removeprefix("call: ") for one in cards()}
    table = _counts(own, words, name="requests", title="Requests per operation, counted by the simulators")
    return replace(table, note="By a broker that has read instruments, clock and margin mode before.")


def counted(rows: tuple[Row, ...]) -> Table:
    """What single cards went through: rows of the error table, spoiled fields, cases of the wire layer."""
    own = tuple(row for row in rows if row.capability != REQUESTS)
    words = {one.card: f"{one.capability}: {one.given}" for one in cards()}
    return _counts(own, words, name="counted", title="What single cards go through")


def _counts(rows: tuple[Row, ...], words: dict[str, str], *, name: str, title: str) -> Table:
    from flows.reports.model import Column, Table

    counts = {(row.card, row.venue): str(row.count) for row in rows if row.count is not None}
    venues = sorted({venue for _, venue in counts})
    shown = [card for card in words if any(card == one for one, _ in counts)]
    numbers = (Column(venue, is_number=True, narrow=index < 6) for index, venue in enumerate(venues))
    return Table(
        name=name,
        title=title,
        columns=(Column("Operation" if name == "requests" else "Card"), *numbers),
        rows=tuple((words[card], *(counts.get((card, venue), "") for venue in venues)) for card in shown),
    )


def as_json(rows: tuple[Row, ...], venue: str) -> dict[str, Any]:
    """By capability: the cards that passed by kind of proof, and those that ended in Unsupported with its words."""
    found = {}
    for name in capabilities(rows):
        own = [row for row in rows if row.venue == venue and row.capability == name]
        passed = {
            kind: sorted({row.card for row in own if row.proof == kind and row.outcome == "passed"}) for kind in KINDS
        }
        if own:
            found[name] = {
                "passed": {kind: ids for kind, ids in passed.items() if ids},
                "unsupported": {row.card: row.reason for row in own if row.outcome == "unsupported"},
            }
    return found


def as_markdown() -> str:
    """docs/venues.md, whole."""
    rows = outcomes()
    deck = cards()
    venues = sorted({row.venue for row in rows})
    lines = [
        "# Venues, and what is proved of each",
        "",
        "This page is made by `algotrendy venues --markdown` from the outcomes that `make conformance` wrote; a test",
        f"fails when they disagree. {len(deck)} spec cards know the port alone and no venue; every venue plays those",
        "that its products can play: on its simulator in every run of the suite, on its testnet where somebody has",
        "credentials.",
        "",
        *_summary(rows, venues),
        "",
        *_never_at(rows, "testnet"),
        "## Matrix",
        "",
        LEGEND,
        "",
        *_markdown(matrix(rows)),
        "",
        "## Requests per operation",
        "",
        "Counted by the simulators, of a broker that has read instruments, clock and margin mode before.",
        "",
        *_markdown(requests(rows)),
        "",
        "## How much single cards go through",
        "",
        "Rows of the error table, changed fields of recorded bodies, cases of the wire layer.",
        "",
        *_markdown(counted(rows)),
        "",
        "## What a venue has not",
        "",
        "Each of these was called and ended in the typed Unsupported, in these words.",
        "",
        *_refusals(rows),
        "",
        *_RUNNING,
        "",
        "## The cards",
        "",
        "| Card | Given | Does | Expects |",
        "| :-- | :-- | :-- | :-- |",
        *(f"| {one.card} | {_text(one.given)} | {_text(one.does)} | {_text(one.expects)} |" for one in deck),
    ]
    return "\n".join(lines) + "\n"


_RUNNING = (
    "## Running it",
    "",
    "- `make conformance` plays every venue on its simulator, `make conformance VENUE=bybit` one of them; both write",
    "  this page anew.",
    "- `make conformance VENUE=bybit ENVIRONMENT=testnet` plays the cards that need no lever of a simulator against",
    "  the venue's own testnet, demo or paper host. It reads `CONFORMANCE_BYBIT_API_KEY` and",
    "  `CONFORMANCE_BYBIT_API_SECRET`; where a venue knows them also `_API_PASSPHRASE`, `_VENUE_ACCOUNT`,",
    "  `_SECRETS_FOLDER` (of a login) and `_HOST` (which of several testnet hosts). Production is refused, whatever is",
    "  set.",
    "- Orders have the least size that the venue takes. After each card, a failed one too, its orders are cancelled",
    "  and what it bought is sold. An account that holds a position in an instrument of the suite is refused: give one",
    "  of its own.",
    "- A plain run of the suite compares every outcome with the files in `cli/conformance/` and fails where they",
    "  differ.",
)


def _summary(rows: tuple[Row, ...], venues: list[str]) -> list[str]:
    """One line per venue and environment: how many cards, and how they ended."""
    lines = [
        "| Venue | Environment | Played | Passed | Unsupported | Not run |",
        "| :-- | :-- | --: | --: | --: | --: |",
    ]
    for venue in venues:
        for environment in sorted({row.environment for row in rows if row.venue == venue}):
            own = [row.outcome for row in rows if (row.venue, row.environment) == (venue, environment)]
            counts = [own.count(name) for name in ("passed", "unsupported", "not run")]
            lines.append(f"| {venue} | {environment} | {len(own)} | {' | '.join(map(str, counts))} |")
    return lines


def _never_at(rows: tuple[Row, ...], environment: str) -> list[str]:
    """What is said of an environment in which nothing was ever played."""
    if any(row.environment == environment for row in rows):
        return []
    return [f"No run against a {environment} is recorded here: it needs credentials, see below.", ""]


def _refusals(rows: tuple[Row, ...]) -> list[str]:
    said = dict.fromkeys(
        (row.venue, row.product or "account", row.capability, row.reason)
        for row in rows
        if row.outcome == "unsupported"
    )
    lines = ["| Venue | Product | Capability | Words |", "| :-- | :-- | :-- | :-- |"]
    return lines + [f"| {' | '.join(_text(part) for part in one)} |" for one in said]


def _markdown(table: Table) -> list[str]:
    head = [column.title for column in table.columns]
    ruler = ["--:" if column.is_number else ":--" for column in table.columns]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *table.rows)]


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
