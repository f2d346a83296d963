"""What a reviewer's answer comes to. Pure: rule and answer in, judgement out; asking it is `review_client`'s work.

Invariants
- An alert passes only on an approval with at least `confidence_min`, or without an answer where the rule says `pass`.
- An answer that cannot be read is no answer, never an approval.
- An approval of another action than the alert's is a rejection.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from brokers.rounding import parse_decimal
from brokers.strictjson import decode, encode
from trading.alerts.model import AlertAction
from trading.alerts.reasons import AlertReason
from trading.rebalancing.portfolio import Exact, Fraction

_ANSWER_BYTES_MAX = 65_536
_REASONING_MAX = 4_000


class ReviewVerdict(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    NO_ANSWER = "no_answer"  # too late, unreachable, or unreadable: the reasoning says which


class ReviewerKind(StrEnum):
    """How the reviewer is spoken to."""

    HTTP = "http"  # an endpoint that answers action, confidence and reasoning as JSON
    LETTA = "letta"  # an agent of a Letta server


class OnNoAnswer(StrEnum):
    BLOCK = "block"
    PASS = "pass"  # noqa: S105 - a policy, not a password


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What the reviewer said. `confidence` is 0 to 1; None where there was no answer."""

    verdict: ReviewVerdict
    confidence: Exact | None = None
    reasoning: str = ""
    reviewer: str = ""
    took_ms: int | None = None

    def __post_init__(self) -> None:
        if (self.confidence is None) != (self.verdict is ReviewVerdict.NO_ANSWER):
            raise ValueError(f"confidence must be given exactly with an answer, was {self.confidence}")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence must be 0 to 1, was {self.confidence}")

    def to_json(self) -> str:
        """Canonical text for the ledger."""
        return encode(_adapter().dump_python(self, mode="json"))

    @staticmethod
    def from_json(text: str) -> Review:
        """Read a stored review; ValueError when it is not one."""
        return cast(Review, _adapter().validate_json(text))


class ReviewRule(BaseModel):
    """Whom a route asks before an alert becomes orders, and what an answer has to be.

    `api_key_env` names the environment variable with the reviewer's key, if it wants one. `reviews_exits`: exits pass
    without a review unless it is true, because a late exit costs more than a wrong one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Annotated[ReviewerKind, BeforeValidator(lambda value: ReviewerKind(value))] = ReviewerKind.HTTP
    url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\[\]:-]+(/[^\s?#@]*)?$", max_length=200)]
    agent: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,80}$")] = ""
    api_key_env: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = ""
    timeout_s: Annotated[Exact, Field(gt=0, le=60)] = Decimal(5)
    confidence_min: Fraction = Decimal("0.7")
    on_no_answer: OnNoAnswer = OnNoAnswer.BLOCK
    reviews_exits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether the alert may go on, and why."""

    passes: bool
    reason: AlertReason
    detail: str


def read_answer(raw: bytes, *, action: AlertAction, reviewer: str = "", took_ms: int | None = None) -> Review:
    """Read `{"action": …, "confidence": 0..1, "reasoning": …}`; further fields are the reviewer's own business.

    `approve`, or the alert's own action, approves. `reject`, `hold`, or another action rejects.
    """
    try:
        if len(raw) > _ANSWER_BYTES_MAX:
            raise ValueError(f"answer must have at most {_ANSWER_BYTES_MAX} bytes, had {len(raw)}")
        answer = decode(raw)
        if not isinstance(answer, dict):
            raise ValueError("answer must be a JSON object")
        said, reasoning = answer.get("action"), answer.get("reasoning", "")
        if not isinstance(said, str) or not isinstance(reasoning, str):
            raise ValueError("action and reasoning must be text")
        verdict = _verdict(said.strip().lower(), action)
        confidence = parse_decimal(answer.get("confidence"), field="confidence")
        if not 0 <= confidence <= 1:
            raise ValueError(f"confidence must be 0 to 1, was {confidence}")
    except ValueError as error:
        return Review(verdict=ReviewVerdict.NO_ANSWER, reasoning=str(error), reviewer=reviewer, took_ms=took_ms)
    text = "".join(letter for letter in reasoning if letter.isprintable() or letter == "\n")[:_REASONING_MAX]
    return Review(verdict=verdict, confidence=confidence, reasoning=text, reviewer=reviewer, took_ms=took_ms)


def _verdict(said: str, action: AlertAction) -> ReviewVerdict:
    if said in ("approve", action.value):
        return ReviewVerdict.APPROVE
    if said in ("reject", "hold", *AlertAction):
        return ReviewVerdict.REJECT
    raise ValueError(f"action must be approve, reject or an action of an alert, was {said[:40]!r}")


def judge(review: Review, rule: ReviewRule) -> Judgement:
    """The judgement of an answer under a rule."""
    if review.verdict is ReviewVerdict.NO_ANSWER:
        passes = rule.on_no_answer is OnNoAnswer.PASS
        reason = AlertReason.REVIEW_PASSED_UNANSWERED if passes else AlertReason.REVIEW_UNANSWERED
        return Judgement(passes=passes, reason=reason, detail=review.reasoning[:200] or "no answer")
    assert review.confidence is not None, "an answer has a confidence"
    said = f"{review.verdict.value} with confidence {review.confidence:f}"
    if review.verdict is ReviewVerdict.REJECT:
        return Judgement(passes=False, reason=AlertReason.REVIEW_REJECTED, detail=said)
    if review.confidence < rule.confidence_min:
        text = f"{said}, below {rule.confidence_min:f}"
        return Judgement(passes=False, reason=AlertReason.REVIEW_UNSURE, detail=text)
    return Judgement(passes=True, reason=AlertReason.REVIEW_APPROVED, detail=said)


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Review)
