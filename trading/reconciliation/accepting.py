"""What a person accepts of a break, and whether what a run sees is still that. Pure.

Invariants (tests/trading/reconciliation/test_accepting.py)
1. The same difference with the same evidence is as accepted; any other content, and any amount further away than the
   bound, is not.
2. Of a sum the difference counts and not the two figures: both go on with every trade. What the run's own findings
   explain (news, facts that one side lacks, fees to be posted) is no part of it.
3. Of anything else every amount and every word of the evidence counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from brokers.strictjson import encode
from brokers.types import ZERO
from ledger.acceptances import Acceptance
from ledger.breaks import SeenBreak
from trading.reconciliation.correcting import SUMS
from trading.reconciliation.exact import EXACT
from trading.reconciliation.facts import Effects
from trading.reconciliation.kinds import BreakKind
from trading.reconciliation.model import FEES_DUE, text_of

Amount = Decimal | None
_OF_THE_VENUE = frozenset({BreakKind.FILL_EXTERNAL, BreakKind.CASH_EVENT_UNMAPPED})  # one import makes them ours too


def is_sum(kind: str) -> bool:
    """Whether the break is of a position or a balance: those that may be accepted within a bound."""
    return kind in SUMS


def accepted_amount(kind: str, ledger: Amount, venue: Amount, evidence: Mapping[str, str]) -> Amount:
    """Of a sum, what the venue shows beyond the books and the news; None of anything else."""
    if not is_sum(kind):
        return None
    return EXACT.subtract(EXACT.subtract(venue or ZERO, ledger or ZERO), _of(evidence, "news_facts_sum"))


def accepted_content(kind: str, ledger: Amount, venue: Amount, evidence: Mapping[str, str]) -> str:
    """Of what is no sum, everything that makes it this difference; "" of a sum."""
    if is_sum(kind):
        return ""
    if kind in _OF_THE_VENUE:
        ledger = venue
    return encode({"ledger": text_of(ledger), "venue": text_of(venue), "evidence": dict(evidence)})


def is_as_accepted(seen: SeenBreak, accepted: Acceptance) -> bool:
    """Whether what a run sees is what was accepted, or no further from it than the bound."""
    evidence = json.loads(seen.evidence or "{}")
    amount = accepted_amount(seen.kind, seen.ledger_amount, seen.venue_amount, evidence)
    if amount is None or accepted.amount is None:
        content = accepted_content(seen.kind, seen.ledger_amount, seen.venue_amount, evidence)
        return amount is accepted.amount and content == accepted.content
    effects = Effects(
        missing=_of(evidence, "missing_facts_sum"),
        extra=_of(evidence, "extra_facts_sum"),
        different=_of(evidence, "different_facts_sum"),
    )
    most = EXACT.add(accepted.within, seen.tolerance)
    least = -EXACT.add(most, _of(evidence, FEES_DUE))
    return any(least <= EXACT.subtract(amount, expected) <= most for expected in effects.candidates(accepted.amount))


def _of(evidence: Mapping[str, str], name: str) -> Decimal:
    return Decimal(evidence.get(name, "0"))
