"""The error table, row by row, what is unknown in it, and rate limits."""

from __future__ import annotations

import pickle

import pytest

from brokers.errors import (
    AnswerUnreadable,
    BrokerError,
    DuplicateClientOrderId,
    OutcomeUnknown,
    RateLimited,
    Refused,
)
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene
from tests.proof.wire_faults import Verb


def coded(scene: Scene, name: str) -> dict[str, object]:
    """Fields of the simulator's fault `error` for a code of the venue's row."""
    code = scene.product.codes[name]
    return {"code": code} if isinstance(code, int) else {"code": code[0], "message": code[1]}


def place_under(scene: Scene, **fields: object) -> BrokerError:
    """The error of an order that the venue answers with this."""
    before = scene.request_count
    scene.fault("error", Verb.PLACE, **fields)
    with pytest.raises(BrokerError) as caught:
        scene.rest()
    assert scene.orders_sent_since(before) == 1, "an order is never sent again"
    return caught.value


@card(
    "ERROR-TABLE-01",
    C.ERRORS,
    given="every row of the venue's error table",
    does="answer an order with it",
    expects="the error class that the row says, with the venue's code kept, and one order request each",
    where=Where.ACCOUNT,
    levers=True,
    row="errors",
)
def every_row_of_the_table(scene: Scene) -> None:
    assert scene.venue.errors is not None
    rows = list(scene.venue.errors())
    wrong = []
    for row, wanted in rows:
        code, words = (row, "") if isinstance(row, int) else row
        found = place_under(scene, code=code, message=words or "refused for the card")
        if type(found) is not wanted or not (found.code or found.text):
            wrong.append(f"{row}: must be {wanted.__name__}, was {type(found).__name__}: {found}")
        scene.control.clear_faults()
    assert not wrong, "\n".join(wrong)
    assert scene.control.orders(scene.owner) == []
    scene.notes["count"] = len(rows)


@card(
    "ERROR-UNKNOWN-01",
    C.ERRORS,
    given="a code that nobody documents",
    does="answer an order with it",
    expects="OutcomeUnknown: it proves nothing; code and text are kept",
    levers=True,
)
def an_unknown_code_on_an_order(scene: Scene) -> None:
    error = place_under(scene, **coded(scene, "unknown"))
    assert isinstance(error, OutcomeUnknown) and not isinstance(error, Refused)
    assert str(scene.product.codes["unknown"]) in f"{error.code} {error.text} {error}"


@card(
    "ERROR-UNKNOWN-02",
    C.ERRORS,
    given="a code that nobody documents",
    does="answer a read with it",
    expects="OutcomeUnknown: no empty list is made of it",
    levers=True,
)
def an_unknown_code_on_a_read(scene: Scene) -> None:
    scene.fault("error", Verb.OPEN_ORDERS, **coded(scene, "unknown"))
    with pytest.raises(OutcomeUnknown):
        scene.broker.open_orders()


@card(
    "ERROR-AMBIGUOUS-01",
    C.ERRORS,
    given="a code after which the venue may have acted",
    does="answer an order with it, which was executed all the same",
    expects="OutcomeUnknown, and the order is found by looking",
    levers=True,
)
def an_ambiguous_code(scene: Scene) -> None:
    error = place_under(scene, **coded(scene, "ambiguous"), execute=True)
    assert isinstance(error, OutcomeUnknown)
    assert len(scene.control.orders(scene.owner)) == 1


@card(
    "ERROR-REFUSED-01",
    C.ERRORS,
    given="the venue's code for too little money",
    does="answer an order with it",
    expects="Refused, with the venue's code and words; no order exists",
    levers=True,
)
def a_refusal_is_definite(scene: Scene) -> None:
    error = place_under(scene, **coded(scene, "no_money"))
    assert isinstance(error, Refused) and (error.code or error.text)
    assert not isinstance(error, DuplicateClientOrderId) and scene.control.orders(scene.owner) == []


@card(
    "ERROR-MAINTENANCE-01",
    C.ERRORS,
    given="the venue's code for maintenance",
    does="answer an order with it",
    expects="Refused and retryable: it was not executed, and a later try may succeed",
    levers=True,
    row="has_maintenance_code",
)
def maintenance(scene: Scene) -> None:
    error = place_under(scene, **coded(scene, "maintenance"))
    assert isinstance(error, Refused) and error.retryable


@card(
    "ERROR-PICKLE-01",
    C.ERRORS,
    given="an error of the venue",
    does="carry it to another process",
    expects="the same class, message, code, text and time to wait",
    levers=True,
)
def errors_travel(scene: Scene) -> None:
    error = place_under(scene, **coded(scene, "no_money"))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.code, copy.text, copy.retry_after_s) == (
        str(error),
        error.code,
        error.text,
        error.retry_after_s,
    )


@card(
    "RATE-LIMIT-01",
    C.RATE_LIMITS,
    given="the venue's code for too many requests",
    does="answer an order with it",
    expects="RateLimited: refused before execution; the order is not sent again",
    levers=True,
)
def an_order_over_the_limit(scene: Scene) -> None:
    error = place_under(scene, **coded(scene, "busy"))
    assert isinstance(error, RateLimited) and error.retryable
    assert scene.control.orders(scene.owner) == []


@card(
    "RATE-LIMIT-02",
    C.RATE_LIMITS,
    given="HTTP 429 that asks to wait three seconds",
    does="answer a read with it",
    expects="RateLimited with a time to wait of at most that; one request",
    levers=True,
)
def a_read_over_the_limit(scene: Scene) -> None:
    before = scene.request_count
    scene.fault("status", Verb.POSITIONS, status=429, retry_after_s=3)
    with pytest.raises(RateLimited) as caught:
        scene.broker.positions()
    assert caught.value.retry_after_s is None or 0 <= caught.value.retry_after_s <= 300
    assert len(scene.requests_since(before, Verb.POSITIONS)) == 1


@card(
    "RATE-LIMIT-03",
    C.RATE_LIMITS,
    given="HTTP 429 on an order that was executed all the same",
    does="place it",
    expects="an error, one order request and one order: never a second",
    levers=True,
)
def an_executed_order_over_the_limit(scene: Scene) -> None:
    before = scene.request_count
    scene.fault("status", Verb.PLACE, status=429, execute=True)
    with pytest.raises(BrokerError):
        scene.rest()
    assert scene.orders_sent_since(before) == 1 == len(scene.control.orders(scene.owner))


@card(
    "RATE-BUDGET-01",
    C.RATE_LIMITS,
    given="the venue's row of facts",
    does="look at its request budgets",
    expects="each is named once, above zero, over a window above zero",
    where=Where.ACCOUNT,
)
def budgets_are_stated(scene: Scene) -> None:
    budgets = scene.venue.capabilities.budgets
    assert budgets and len({budget.name for budget in budgets}) == len(budgets)
    assert all(budget.limit > 0 and budget.window_s > 0 for budget in budgets)


@card(
    "ERROR-SHAPE-01",
    C.ERRORS,
    given="an answer of HTTP 200 that is HTML",
    does="give it to an order, to a cancel and to each read",
    expects="AnswerUnreadable each time",
    levers=True,
)
def html_is_no_answer(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    window = scene.window()
    calls = {
        Verb.PLACE: lambda: scene.rest(),
        Verb.CANCEL: lambda: scene.cancel(placed),
        Verb.OPEN_ORDERS: lambda: scene.broker.open_orders(),
        Verb.ORDER_HISTORY: lambda: scene.broker.order_history(**window),
        Verb.FILLS: lambda: scene.broker.fills(**window),
        Verb.POSITIONS: lambda: scene.broker.positions(),
    }
    for verb, call in calls.items():
        scene.fault("html", verb, times=None)
        with pytest.raises(AnswerUnreadable):
            call()
        scene.control.clear_faults()
