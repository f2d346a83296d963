"""What happens in one history, drawn from its seed before it begins: orders, workers, deaths and faults."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.states import ControlState
from tests.trading.orders.modelled import BTC, PRICE, WEIGHTS, Fault
from trading.orders.crash import CRASH_POINTS

ZOMBIE_POINTS = ("C07", "C09", "C10", "C11", "C16", "C21")
CANCEL_POINT = "C24"


class Event(StrEnum):
    """What the world does while the workers work."""

    CANCEL = "cancel"
    STOP = "stop"
    RESUME = "resume"
    CLOCK_STEP = "clock_step"
    LOCK = "lock"  # a reconciliation finds a critical break; `amount` is what it locks
    UNLOCK = "unlock"  # and two more do not


@dataclass(frozen=True, slots=True)
class Planned:
    """One event; `subject` is an order or a worker by number, `amount` a control state, seconds or an instrument."""

    after_s: float
    event: Event
    subject: int = 0
    amount: str = ""


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """Everything that is decided before a history begins; the venue draws its own faults from the same seed."""

    orders: tuple[OrderRequest, ...]
    workers: int
    crashes: tuple[str, ...]  # each fires once, at the first pass after the one before it fired
    zombies: tuple[str, ...]  # the same, but the worker stands still for 20 to 120 s
    events: tuple[Planned, ...] = ()
    outage: tuple[float, float] | None = None  # reads fail from … to …, in seconds
    gone: tuple[str, float] | None = None  # the database is gone at this point, for so many seconds
    lost_commits: tuple[tuple[int, str], ...] = ()  # the n-th commit loses its answer
    switching: float = 0.0  # how likely a worker gives way at a named point
    weights: tuple[tuple[Fault, int], ...] = tuple(WEIGHTS.items())

    @property
    def faults(self) -> int:
        """How many of the plan's own (the venue counts its own)."""
        return (
            len(self.crashes)
            + len(self.zombies)
            + len(self.events)
            + len(self.lost_commits)
            + (self.outage is not None)
            + (self.gone is not None)
        )


def plan_of(kind: str, seed: int) -> HistoryPlan:
    """More than half of the histories are of one order and one worker; the others mix everything."""
    rng = random.Random(f"plan {kind} {seed}")
    if rng.random() < 0.55:
        crashes, zombies = _crashes(rng, 0.5), _zombies(rng, 0.05)
        return HistoryPlan((_market(rng),), workers=1, crashes=crashes, zombies=zombies, events=_locks(kind, seed))
    crashes = _crashes(rng, 0.5)
    has_cancel = CANCEL_POINT in crashes
    orders = tuple(_order(rng, number, rests=has_cancel) for number in range(rng.choice([1, 1, 2, 2, 3, 4])))
    return HistoryPlan(
        orders=orders,
        workers=rng.choice([1, 1, 2, 2, 3]),
        crashes=crashes,
        zombies=_zombies(rng, 0.1),
        events=(*_events(rng, len(orders), has_cancel), *_locks(kind, seed)),
        outage=_outage(rng),
        gone=_gone(rng),
        lost_commits=_lost_commits(rng),
        switching=0.3,
        weights=tuple((WEIGHTS | ({Fault.DUPLICATED: 12} if rng.random() < 0.1 else {})).items()),
    )


def _market(rng: random.Random, side: OrderSide = OrderSide.BUY) -> OrderRequest:
    quantity = Decimal(rng.randint(5, 20)) / 1000
    return OrderRequest(instrument_id=BTC, side=side, order_type=OrderType.MARKET, quantity=quantity)


def _order(rng: random.Random, number: int, *, rests: bool) -> OrderRequest:
    draw = rng.random()
    if number and draw < 0.15:
        quantity = Decimal(rng.randint(2, 5)) / 1000
        return OrderRequest(
            instrument_id=BTC, side=OrderSide.SELL, order_type=OrderType.MARKET, quantity=quantity, reduce_only=True
        )
    if draw < 0.6 and not rests:
        return _market(rng, rng.choice([OrderSide.BUY, OrderSide.BUY, OrderSide.SELL]))
    return OrderRequest(
        instrument_id=BTC,
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(rng.randint(5, 20)) / 1000,
        limit_price=PRICE - rng.randint(1, 500),
    )


def _crashes(rng: random.Random, share: float) -> tuple[str, ...]:
    """Sometimes a second death while the first one is recovered from."""
    if rng.random() >= share:
        return ()
    return tuple(rng.choice([*CRASH_POINTS]) for _ in range(rng.choice([1, 1, 2])))


def _zombies(rng: random.Random, share: float) -> tuple[str, ...]:
    return (rng.choice(ZOMBIE_POINTS),) if rng.random() < share else ()


def _events(rng: random.Random, orders: int, has_cancel: bool) -> tuple[Planned, ...]:
    events = []
    if has_cancel or rng.random() < 0.3:
        events.append(Planned(rng.uniform(0, 40), Event.CANCEL, rng.randrange(orders)))
    if rng.random() < 0.15:
        stop = rng.choice([ControlState.HALT, ControlState.HALT, ControlState.PAUSE, ControlState.REDUCE_ONLY])
        at_s = rng.choice([rng.uniform(0, 0.5), rng.uniform(0, 30)])
        events.append(Planned(at_s, Event.STOP, amount=stop.value))
        if rng.random() < 0.8:
            events.append(Planned(at_s + rng.uniform(1, 60), Event.RESUME))
    if rng.random() < 0.1:
        at_s, step_s = rng.uniform(0, 20), rng.choice([3600.0, -3600.0, 5.0, -5.0, 0.7])
        worker = rng.randrange(3)
        events.append(Planned(at_s, Event.CLOCK_STEP, worker, str(step_s)))
        events.append(Planned(at_s + rng.uniform(5, 60), Event.CLOCK_STEP, worker, str(-step_s)))
    return tuple(events)


def _locks(kind: str, seed: int) -> tuple[Planned, ...]:
    """A break that locks the instrument or the account in mid-flight; drawn apart from all else."""
    rng = random.Random(f"locks {kind} {seed}")
    if rng.random() >= 0.08:
        return ()
    at_s = rng.choice([rng.uniform(0, 0.5), rng.uniform(0, 30)])
    lock = Planned(at_s, Event.LOCK, amount=rng.choice([str(BTC), "*"]))
    return (lock, Planned(at_s + rng.uniform(1, 60), Event.UNLOCK)) if rng.random() < 0.8 else (lock,)


def _gone(rng: random.Random) -> tuple[str, float] | None:
    """Mostly just when an answer was read: then it goes to the spool."""
    if rng.random() >= 0.1:
        return None
    return rng.choice(["C05", "C09", "C16", "C16", "C16", "C17"]), rng.uniform(2, 40)


def _outage(rng: random.Random) -> tuple[float, float] | None:
    """Mostly somewhat longer than the visibility horizon, seldom longer than looking is tried for."""
    if rng.random() >= 0.06:
        return None
    start = rng.uniform(0, 30)
    return start, start + (rng.uniform(700, 900) if rng.random() < 0.1 else rng.uniform(61, 150))


def _lost_commits(rng: random.Random) -> tuple[tuple[int, str], ...]:
    if rng.random() >= 0.15:
        return ()
    number = rng.choice([rng.randint(1, 8), rng.randint(3, 5), rng.randint(1, 40)])
    return ((number, rng.choice(["committed", "rolled back"])),)
