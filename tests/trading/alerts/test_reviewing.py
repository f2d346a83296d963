from __future__ import annotations

import json
from typing import Any

import pytest

from tests.trading.alerts.building import D
from trading.alerts import AlertAction, AlertReason
from trading.alerts.reviewing import OnNoAnswer, Review, ReviewRule, ReviewVerdict, judge, read_answer

RULE = ReviewRule(url="http://127.0.0.1:8283", confidence_min="0.7")
APPROVE, REJECT, NO_ANSWER = ReviewVerdict


def answer(**fields: Any) -> Review:
    return read_answer(json.dumps(fields).encode(), action=AlertAction.BUY)


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        ("approve", APPROVE),
        ("BUY", APPROVE),
        ("reject", REJECT),
        ("hold", REJECT),
        ("sell", REJECT),
        ("exit", REJECT),
        ("maybe", NO_ANSWER),
        ("", NO_ANSWER),
    ],
)
def test_only_the_same_action_or_plain_approval_approves(action: str, verdict: ReviewVerdict) -> None:
    assert answer(action=action, confidence="0.9", reasoning="because").verdict is verdict


@pytest.mark.parametrize("confidence", ["1.1", "-0.1", "NaN", None, "", True, [], "sure"])
def test_an_answer_that_cannot_be_read_is_none(confidence: Any) -> None:
    review = answer(action="approve", confidence=confidence)
    assert (review.verdict, review.confidence) == (NO_ANSWER, None)


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"yes", b"\xff", b'{"action":1,"confidence":"1"}', b"[" * 100_000, b'{"action":"approve",'
     b'"action":"reject","confidence":"1"}'],
)  # fmt: skip
def test_whatever_comes_back_it_is_a_review(raw: bytes) -> None:
    assert read_answer(raw, action=AlertAction.BUY).verdict is NO_ANSWER


@pytest.mark.parametrize(
    ("verdict", "confidence", "on_no_answer", "passes", "reason"),
    [
        (APPROVE, "0.7", "block", True, AlertReason.REVIEW_APPROVED),
        (APPROVE, "0.69", "block", False, AlertReason.REVIEW_UNSURE),
        (APPROVE, "0.69", "pass", False, AlertReason.REVIEW_UNSURE),
        (REJECT, "1", "pass", False, AlertReason.REVIEW_REJECTED),
        (REJECT, "0", "pass", False, AlertReason.REVIEW_REJECTED),
        (NO_ANSWER, None, "block", False, AlertReason.REVIEW_UNANSWERED),
        (NO_ANSWER, None, "pass", True, AlertReason.REVIEW_PASSED_UNANSWERED),
    ],
)
def test_a_judgement_follows_the_rule(
    verdict: ReviewVerdict, confidence: str | None, on_no_answer: str, passes: bool, reason: AlertReason
) -> None:
    review = Review(verdict=verdict, confidence=None if confidence is None else D(confidence))
    rule = RULE.model_copy(update={"on_no_answer": OnNoAnswer(on_no_answer)})
    found = judge(review, rule)
    assert (found.passes, found.reason) == (passes, reason)


def test_a_review_comes_back_from_the_ledger_as_it_was() -> None:
    review = Review(verdict=APPROVE, confidence=D("0.85"), reasoning="trend\nis up", reviewer="agent-1", took_ms=120)
    assert Review.from_json(review.to_json()) == review
    for confidence in (None, D("1.1"), D("-0.1")):
        with pytest.raises(ValueError, match="confidence"):
            Review(verdict=APPROVE, confidence=confidence)
