"""Leverage, position mode and margin mode: set, read back, refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.errors import BrokerError, InvalidOrder, VerificationFailed
from brokers.types import MarginMode, OrderSide, PositionMode
from tests.conformance.capability import Capability as C
from tests.conformance.card import Proof, Where, card
from tests.conformance.recorded import recording, replay
from tests.conformance.scene import Scene

SELL = OrderSide.SELL


def other_leverage(scene: Scene, now: Decimal) -> Decimal:
    """Another whole leverage within the instrument's bounds."""
    least, most = scene.instrument.leverage_min or Decimal(1), scene.instrument.leverage_max or Decimal(5)
    return next(value for value in (Decimal(3), Decimal(2), Decimal(4)) if value != now and least <= value <= most)


@card(
    "LEVERAGE-READ-01",
    C.LEVERAGE,
    given="an instrument with leverage",
    does="read it",
    expects="both sides above zero, a margin mode and a position mode that the venue offers",
    refused=lambda scene: scene.broker.leverage(scene.instrument_id),
)
def leverage_is_read(scene: Scene) -> None:
    found = scene.broker.leverage(scene.instrument_id)
    assert found.long_leverage > 0 and found.short_leverage > 0
    assert found.margin_mode in scene.venue.capabilities.margin_modes
    assert found.position_mode in scene.venue.capabilities.position_modes


@card(
    "LEVERAGE-SET-01",
    C.LEVERAGE,
    given="another leverage within the bounds",
    does="set it, set it again, read it",
    expects="the value that was asked for, both times: 'not modified' is success",
    refused=lambda scene: scene.broker.set_leverage(scene.instrument_id, Decimal(2)),
)
def leverage_is_set_and_read_back(scene: Scene) -> None:
    before = scene.broker.leverage(scene.instrument_id).long_leverage
    wanted = other_leverage(scene, before)
    try:
        for _ in range(2):
            found = scene.broker.set_leverage(scene.instrument_id, wanted)
            assert (found.long_leverage, found.short_leverage) == (wanted, wanted)
        assert scene.broker.leverage(scene.instrument_id).long_leverage == wanted
    finally:
        scene.broker.set_leverage(scene.instrument_id, before)


@card(
    "LEVERAGE-SET-02",
    C.LEVERAGE,
    given="a recorded answer that the leverage was set, and a recorded reading that shows another value",
    does="set it",
    expects="VerificationFailed: nothing is reported as set that does not read back",
    where=Where.POSITION,
    levers=True,
    proof=Proof.RECORDED,
    row="serve",
    refused=lambda scene: scene.broker.set_leverage(scene.instrument_id, Decimal(2)),
)
def leverage_that_was_not_set(scene: Scene) -> None:
    with (
        replay(scene.venue, recording(scene.venue.name, "REC-LEVERAGE-SET-01")) as player,
        pytest.raises(VerificationFailed),
    ):
        player.value()


@card(
    "LEVERAGE-READ-FAILED-01",
    C.LEVERAGE,
    given="a venue that takes another leverage, and whose every reading of it fails afterwards",
    does="set it",
    expects="an error, and never the value that was asked for: what could not be read back was not shown to be set",
    levers=True,
    refused=lambda scene: scene.broker.set_leverage(scene.instrument_id, Decimal(2)),
)
def leverage_that_cannot_be_read_back(scene: Scene) -> None:
    before = scene.request_count
    wanted = other_leverage(scene, scene.broker.leverage(scene.instrument_id).long_leverage)
    for path in {request.path for request in scene.requests_since(before) if request.method == "GET"}:
        scene.control.fault("status", status=500, path=path, method="GET", times=None)
    with pytest.raises(BrokerError):
        scene.broker.set_leverage(scene.instrument_id, wanted)


@card(
    "LEVERAGE-BOUNDS-01",
    C.LEVERAGE,
    given="a leverage above the instrument's maximum, zero, and one below zero",
    does="set them",
    expects="InvalidOrder before any request, or the venue's refusal; the value is unchanged",
    refused=lambda scene: scene.broker.set_leverage(scene.instrument_id, Decimal(2)),
)
def leverage_beyond_the_bounds(scene: Scene) -> None:
    before = scene.broker.leverage(scene.instrument_id)
    for wanted in (Decimal(0), Decimal(-2)):
        with pytest.raises(InvalidOrder, match="leverage"):
            scene.broker.set_leverage(scene.instrument_id, wanted)
    most = scene.instrument.leverage_max or Decimal(10_000)
    with pytest.raises(BrokerError):
        scene.broker.set_leverage(scene.instrument_id, most + 1)
    assert scene.broker.leverage(scene.instrument_id) == before


@card(
    "LEVERAGE-HELD-01",
    C.LEVERAGE,
    given="an open position",
    does="set another leverage",
    expects="set and read back, or a typed refusal; the position's quantity is unchanged",
    refused=lambda scene: scene.broker.set_leverage(scene.instrument_id, Decimal(2)),
)
def leverage_of_an_open_position(scene: Scene) -> None:
    scene.buy()
    held, before = scene.held(), scene.broker.leverage(scene.instrument_id).long_leverage
    wanted = other_leverage(scene, before)
    try:
        assert scene.broker.set_leverage(scene.instrument_id, wanted).long_leverage == wanted
        scene.broker.set_leverage(scene.instrument_id, before)
    except BrokerError as error:
        assert error.code or error.text
        assert scene.broker.leverage(scene.instrument_id).long_leverage == before
    assert scene.held() == held


@card(
    "MODE-SET-01",
    C.POSITION_MODE,
    given="one-way mode and no position",
    does="set hedge mode twice, then one-way mode twice",
    expects="each reads back as set; the second time is success as well",
    levers=True,
    refused=lambda scene: scene.broker.set_position_mode(scene.instrument_id, PositionMode.HEDGE),
)
def the_position_mode_is_set(scene: Scene) -> None:
    for mode in (PositionMode.HEDGE, PositionMode.HEDGE, PositionMode.ONE_WAY, PositionMode.ONE_WAY):
        assert scene.broker.set_position_mode(scene.instrument_id, mode).position_mode is mode
        assert scene.broker.leverage(scene.instrument_id).position_mode is mode


@card(
    "MODE-REFUSED-01",
    C.POSITION_MODE,
    given="an open position in one-way mode",
    does="set hedge mode",
    expects="a typed refusal with the venue's words; the mode and the position are unchanged",
    levers=True,
    refused=lambda scene: scene.broker.set_position_mode(scene.instrument_id, PositionMode.HEDGE),
)
def the_mode_of_an_open_position(scene: Scene) -> None:
    scene.buy()
    held = scene.held()
    with pytest.raises(BrokerError) as caught:
        scene.broker.set_position_mode(scene.instrument_id, PositionMode.HEDGE)
    assert caught.value.code or caught.value.text
    assert scene.broker.leverage(scene.instrument_id).position_mode is PositionMode.ONE_WAY and scene.held() == held


@card(
    "MARGIN-MODE-01",
    C.MARGIN_MODE,
    needs=(C.LEVERAGE,),
    given="an instrument with leverage",
    does="read the account's proof and the instrument's leverage",
    expects="margin modes that the row of facts lists, in both",
    refused=lambda scene: scene.broker.leverage(scene.instrument_id),
)
def margin_modes_are_known(scene: Scene) -> None:
    known = scene.venue.capabilities.margin_modes
    assert scene.broker.connect().margin_mode in known
    assert scene.broker.leverage(scene.instrument_id).margin_mode in known


@card(
    "MARGIN-MODE-SET-01",
    C.SET_MARGIN_MODE,
    given="an instrument without a position or an order",
    does="set isolated margin twice, then cross margin",
    expects="each reads back as set; the second time is success as well",
    levers=True,
    refused=lambda scene: scene.broker.set_margin_mode(scene.instrument_id, MarginMode.ISOLATED),
)
def the_margin_mode_is_set(scene: Scene) -> None:
    for mode in (MarginMode.ISOLATED, MarginMode.ISOLATED, MarginMode.CROSS):
        assert scene.broker.set_margin_mode(scene.instrument_id, mode).margin_mode is mode
        assert scene.broker.leverage(scene.instrument_id).margin_mode is mode


@card(
    "MARGIN-MODE-SET-02",
    C.SET_MARGIN_MODE,
    given="an open position",
    does="set the other margin mode",
    expects="set and read back, or a typed refusal after which the mode is unchanged; the position is unchanged",
    levers=True,
    refused=lambda scene: scene.broker.set_margin_mode(scene.instrument_id, MarginMode.ISOLATED),
)
def the_margin_mode_of_an_open_position(scene: Scene) -> None:
    scene.buy()
    held, before = scene.held(), scene.broker.leverage(scene.instrument_id).margin_mode
    other = MarginMode.ISOLATED if before is MarginMode.CROSS else MarginMode.CROSS
    try:
        assert scene.broker.set_margin_mode(scene.instrument_id, other).margin_mode is other
    except BrokerError:
        assert scene.broker.leverage(scene.instrument_id).margin_mode is before
    assert scene.held() == held
