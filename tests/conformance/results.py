"""The machine-readable outcome of a run: one file per venue and environment, from which the matrix is made."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.conformance.card import Card
from tests.conformance.playing import Outcome

FOLDER = Path(__file__).resolve().parents[2] / "cli" / "conformance"
CARDS = FOLDER / "cards.json"


def path_of(venue: str, environment: str) -> Path:
    return FOLDER / f"{venue}.{environment}.json"


def read(venue: str, environment: str) -> dict[tuple[str, str, str], Outcome]:
    """The committed outcomes by card, product and proof; empty where none was written yet."""
    path = path_of(venue, environment)
    if not path.exists():
        return {}
    rows = [Outcome(**row) for row in json.loads(path.read_text())["outcomes"]]
    return {outcome.key: outcome for outcome in rows}


def write(venue: str, environment: str, outcomes: Iterable[Outcome], *, keys: Collection[tuple[str, str, str]]) -> Path:
    """Write the file, one line per outcome, sorted: two runs of the same code give the same bytes.

    `keys` are those of a whole run: what a run of a part did not play is kept, what nothing plays any more goes.
    """
    new = {outcome.key: outcome for outcome in outcomes}
    kept = {key: outcome for key, outcome in read(venue, environment).items() if key in keys}
    rows = [outcome for _, outcome in sorted({**kept, **new}.items())]
    lines = ",\n".join(f"  {json.dumps(outcome.as_row(), ensure_ascii=False)}" for outcome in rows)
    head = f'{{\n "venue": {json.dumps(venue)},\n "environment": {json.dumps(environment)},\n'
    path = path_of(venue, environment)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{head} "outcomes": [\n{lines}\n ]\n}}\n')
    return path


def words(cards: Iterable[Card]) -> str:
    """The deck in words, one line per card: what the page of the matrix shows of it."""
    lines = ",\n".join(
        json.dumps(
            {
                "card": card.id,
                "capability": card.capability,
                "given": card.precondition,
                "does": card.action,
                "expects": card.expected,
            },
            ensure_ascii=False,
        )
        for card in cards
    )
    return f"[\n{lines}\n]\n"
