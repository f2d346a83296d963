"""Changing a control state in database and file, and judging who may.

A stop must work with either of the two; letting more out needs both. So what lets no more out than the file says is
written to the file first, at once, before a database that may hang is asked; what lets more out goes to the database
first, which judges it, and then to the file. Wherever it is cut off, the stricter of the two is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from brokers.clock import SystemClock
from brokers.ids import Environment
from ledger.control_file import ControlFile, FileEntry, entry_of
from ledger.controls import hold_controls_to_change, lets_more_out, pool_scope, scope_control, set_control, strictest
from ledger.engine import Ledger
from ledger.errors import (
    CommitUnknown,
    ControlError,
    ControlFileUnreadable,
    ControlIncomplete,
    ControlMoved,
    ControlNotLowered,
    ControlNotSet,
    KillUnfinished,
    LedgerError,
    NeedsTwoPeople,
)
from ledger.states import ControlState, KillState
from ledger.tables import KillRow

RUN = ControlState.RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChange:
    """What a person asks for. `expected`: refuse when the scope's state is another one by then.

    `flatten` says that a kill is also to close positions. `acknowledge_left`: the person takes over what kills of this
    scope named as left.
    """

    scope: str
    state: ControlState
    reason: str
    set_by: str
    approved_by: str = ""
    flatten: bool = False
    expected: ControlState | None = None
    acknowledge_left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChanged:
    """What became of it. `problems` must be shown loudly: one of database and file does not hold the state."""

    scope: str
    before: ControlState
    after: ControlState
    in_database: bool
    in_file: bool
    problems: tuple[str, ...] = ()

    @property
    def is_lowered(self) -> bool:
        return lets_more_out(self.after, self.before)


@dataclass(slots=True)
class _Attempt:
    change: ControlChange
    environment: Environment
    file: ControlFile | None
    file_before: ControlState | None = None  # None: the file could not be read
    entry_before: FileEntry | None = None
    is_file_readable: bool = False
    in_file: bool = False
    problems: list[str] = field(default_factory=list)


def change_control(
    change: ControlChange,
    *,
    environment: Environment,
    ledger: Callable[[], Ledger] | Ledger,
    file: ControlFile | None,
    now: datetime | None = None,
) -> ControlChanged:
    """Set a control state. `ledger` may be a function that opens it: a stop is in the file before it is called.

    Raises ControlError: ControlIncomplete, NeedsTwoPeople, ControlMoved and KillUnfinished when the person may not,
    ControlNotSet when neither took a stop, ControlNotLowered when one of the two did not take a loosening.
    """
    _require_words(change)
    attempt = _Attempt(change, environment, file)
    at = now or SystemClock().now()
    with ExitStack() as stack:
        _look_at_file(attempt, stack)
        is_stop_for_file = attempt.is_file_readable and not lets_more_out(change.state, attempt.file_before or RUN)
        if is_stop_for_file:
            _write_file(attempt, at)
        try:
            before, unwritten = _write_database(attempt, ledger)
        except ControlError:
            if attempt.in_file:
                _put_back(attempt)
            raise
        if unwritten:
            attempt.problems.append(f"database: {unwritten}")
            _require_stop_in_file(attempt)
        elif not is_stop_for_file:
            _write_file(attempt, at)
        return _outcome(attempt, before, in_database=not unwritten)


def _require_stop_in_file(attempt: _Attempt) -> None:
    """The database did not take it: then only a stop counts, and only where the file took it."""
    is_loosening = lets_more_out(attempt.change.state, attempt.file_before or RUN)
    if attempt.change.state is RUN or is_loosening:
        if attempt.in_file:
            _put_back(attempt)
        raise ControlNotLowered(_failed(attempt))
    if not attempt.in_file:
        raise ControlNotSet(_failed(attempt))


def _outcome(attempt: _Attempt, before: ControlState, *, in_database: bool) -> ControlChanged:
    change = attempt.change
    in_file = attempt.in_file or attempt.file is None
    if lets_more_out(change.state, before) and not in_file:
        raise ControlNotLowered(_failed(attempt))
    left = [change.state] if in_database else [before, change.state]
    if attempt.file is not None and not attempt.in_file:
        left.append(attempt.file.state(change.scope) or RUN)
    return ControlChanged(
        scope=change.scope,
        before=before,
        after=strictest(left),
        in_database=in_database,
        in_file=attempt.in_file,
        problems=tuple(attempt.problems),
    )


def _require_words(change: ControlChange) -> None:
    for name, value in (("scope", change.scope), ("reason", change.reason), ("set_by", change.set_by)):
        if not value.strip():
            raise ControlIncomplete(f"a control state needs {name}, was {value!r}")


def _failed(attempt: _Attempt) -> str:
    change = attempt.change
    return f"{change.scope} was not set to {change.state}: {'; '.join(attempt.problems) or 'no control file is named'}"


# -- the file ---------------------------------------------------------------------------------------------------
def _look_at_file(attempt: _Attempt, stack: ExitStack) -> None:
    """Take the file's lock and read it; a stop goes on without the lock, because it only ever tightens."""
    file = attempt.file
    if file is None:
        return
    try:
        stack.enter_context(file.locked())
    except OSError as error:
        attempt.problems.append(f"file: no lock: {error}")
        if attempt.change.state is RUN:
            return
    try:
        attempt.entry_before = file.read().get(attempt.change.scope)
    except ControlFileUnreadable as error:
        attempt.file_before = ControlState.HALT
        attempt.problems.append(f"file: {error} (it counts as HALT for everything)")
        return
    attempt.is_file_readable = True
    attempt.file_before = attempt.entry_before.state if attempt.entry_before else RUN


def _write_file(attempt: _Attempt, at: datetime) -> None:
    change, file = attempt.change, attempt.file
    if file is None or not attempt.is_file_readable:
        return
    entry = entry_of(
        change.state, reason=change.reason, set_by=change.set_by, approved_by=change.approved_by, set_at=at
    )
    try:
        file.put(change.scope, entry)
    except (OSError, ControlFileUnreadable) as error:
        attempt.problems.append(f"file: {type(error).__name__}: {error}")
        return
    attempt.in_file = True


def _put_back(attempt: _Attempt) -> None:
    """The database said that the person may not: the file says again what it said. Where that fails it is stricter."""
    assert attempt.file is not None
    try:
        attempt.file.put(attempt.change.scope, attempt.entry_before)
    except (OSError, ControlFileUnreadable) as error:
        attempt.problems.append(f"file: it keeps {attempt.change.state}: {type(error).__name__}")


# -- the database -----------------------------------------------------------------------------------------------
def _write_database(attempt: _Attempt, ledger: Callable[[], Ledger] | Ledger) -> tuple[ControlState, str]:
    """Judge and record in one transaction; the state before, and why it was not recorded ("" when it was)."""
    change = attempt.change
    try:
        opened = ledger if isinstance(ledger, Ledger) else ledger()
        with opened.write() as session:
            hold_controls_to_change(session)
            before = strictest((scope_control(session, change.scope), attempt.file_before or RUN))
            _judge(session, attempt, before)
            set_control(
                session,
                change.scope,
                change.state,
                reason=change.reason,
                set_by=change.set_by,
                at=opened.now(session),
                approved_by=change.approved_by,
                flatten=change.flatten,
            )
    except ControlError:
        raise
    except CommitUnknown as error:
        return attempt.file_before or RUN, f"perhaps set, perhaps not: {error}"
    except (LedgerError, SQLAlchemyError, OSError) as error:
        return attempt.file_before or RUN, f"{type(error).__name__}: {error}"
    return before, ""


def _judge(session: Session, attempt: _Attempt, before: ControlState) -> None:
    """Who may do this, as of this transaction."""
    change = attempt.change
    if change.expected is not None and before is not change.expected:
        raise ControlMoved(f"{change.scope} is {before} by now, and was {change.expected} when it was looked at")
    is_lowering = lets_more_out(change.state, before)
    if is_lowering or change.flatten:
        what = f"lowering {change.scope} from {before} to {change.state}" if is_lowering else "closing positions"
        require_two_people(attempt.environment, change.set_by, change.approved_by, what=what)
    if not is_lowering:
        return
    if attempt.file is not None and not attempt.is_file_readable:
        raise ControlNotLowered(_failed(attempt))
    if before is ControlState.KILL:
        _require_kills_over(session, change)


def require_two_people(environment: Environment, first: str, second: str, *, what: str) -> None:
    """In production two different names; NeedsTwoPeople otherwise."""
    if environment is not Environment.PRODUCTION:
        return
    if len(different_people((first, second))) < 2:
        raise NeedsTwoPeople(f"{what} needs two different people in production, named were {first!r} and {second!r}")


def different_people(names: Iterable[str]) -> frozenset[str]:
    """The people whom these names mean, whatever their capitals and spaces; an empty name means nobody."""
    return frozenset(" ".join(name.split()).casefold() for name in names) - {""}


def kills_that_keep_the_stop(session: Session, scope: str) -> list[KillRow]:
    """Kills of an account (of every account for a pool) that are not over, or left something that nobody took over."""
    held = [state.value for state in KillState if state.keeps_the_stop]
    query = select(KillRow).where(col(KillRow.state).in_(held))
    if not scope.startswith(pool_scope("")):
        query = query.where(KillRow.account_id == scope)
    return list(session.exec(query.order_by(col(KillRow.kill_id))))


def _require_kills_over(session: Session, change: ControlChange) -> None:
    for row in kills_that_keep_the_stop(session, change.scope):
        if change.acknowledge_left and row.state == KillState.LEFT.value:
            row.state = KillState.LEFT_ACKNOWLEDGED.value
            continue
        raise KillUnfinished(f"kill {row.kill_id} of {row.account_id} stands at {row.state}")
    session.flush()
