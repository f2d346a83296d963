"""Every crash point, C01 to C32: how the process layer comes to it, or where else it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Means(StrEnum):
    """How a point is come to."""

    KILLED = "SIGKILL at the point"
    KILLED_FROM_OUTSIDE = "SIGKILL while the venue holds request or answer"
    STOPPED = "SIGSTOP at the point, taken over, SIGCONT"
    JUMPED = "the clock jumps at the point"
    DATABASE = "the database goes away"
    REFUSED = "a start that is refused"
    ELSEWHERE = "shown beside this layer"
    NOT_BY_A_PROCESS = "no process can bring it about"


@dataclass(frozen=True, slots=True)
class Entry:
    """One point: what happens there, by which means, and what else is to be said."""

    what: str
    means: tuple[Means, ...]
    note: str = ""


_K, _S = Means.KILLED, Means.STOPPED
CRASH_TABLE: Mapping[str, Entry] = MappingProxyType(
    {
        "C01": Entry("alert: before the inbox is committed", (Means.ELSEWHERE,), "tests/webhooks/test_killed.py"),
        "C02": Entry("alert: committed, before the answer", (Means.ELSEWHERE,), "tests/webhooks/test_killed.py"),
        "C03": Entry(
            "alert: answered, before the intent", (Means.ELSEWHERE,), "tests/trading/alerts/test_handling_killed.py"
        ),
        "C04": Entry("alert: between it and its intent", (Means.ELSEWHERE,), "tests/trading/orders/test_intake.py"),
        "C05": Entry("the intent is READY", (_K,)),
        "C06": Entry("the claim is committed", (_K, _S)),
        "C07": Entry("payload built, not committed", (_K, _S)),
        "C08": Entry("inside the transaction of SENDING", (_K,), "stopped there a process holds the database"),
        "C09": Entry("SENDING committed, not connected", (_K, _S)),
        "C10": Entry("connecting, before the first byte", (_K, _S)),
        "C11": Entry("the first byte may have left", (_K, _S)),
        "C12": Entry("written, the venue has not read it", (Means.KILLED_FROM_OUTSIDE,)),
        "C13": Entry("executed, the answer not sent", (Means.KILLED_FROM_OUTSIDE,)),
        "C14": Entry("the answer on its way", (Means.KILLED_FROM_OUTSIDE,)),
        "C15": Entry("answer read, not parsed", (_K, _S)),
        "C16": Entry("parsed, observation not committed", (_K, _S)),
        "C17": Entry("observation committed, no move yet", (_K, _S)),
        "C18": Entry("acknowledged, not looked at yet", (_K,)),
        "C19": Entry("fills read, not committed", (_K,), "of one order, and of a sync"),
        "C20": Entry("fills written, cursor not moved", (_K,), "one transaction here: both or none"),
        "C21": Entry("a clean look-up, not committed", (_K,)),
        "C22": Entry("proved not placed, next attempt not begun", (_K,)),
        "C23": Entry("before the same id is sent again", (_K,)),
        "C24": Entry("cancel sent, its answer not recorded", (_K,)),
        "C25": Entry("kill switch set, cancels half done", (Means.ELSEWHERE,), "tests/trading/test_killing.py"),
        "C26": Entry(
            "arming expired between check and send", (Means.ELSEWHERE,), "tests/trading/orders/test_arming.py"
        ),
        "C27": Entry("a worker paused while it holds a lease, then resumed", (_S,), "at C06 to C11 and C15 to C17"),
        "C28": Entry("two workers, the clock of one jumps ten minutes", (Means.JUMPED,)),
        "C29": Entry("the database restarts, ends connections, is full, locked, read-only", (Means.DATABASE,)),
        "C30": Entry("the ledger is put back to an older copy", (Means.REFUSED,)),
        "C31": Entry(
            "the machine loses power",
            (Means.NOT_BY_A_PROCESS,),
            "the settings that keep a commit are read back at every start (tests/ledger/test_durability.py)",
        ),
        "C32": Entry(
            "old and new version together",
            (Means.REFUSED,),
            "by schema; by code where an arming is needed (tests/trading/orders/test_arming.py)",
        ),
    }
)


def markdown() -> str:
    """The table as docs show it."""
    lines = ["| point | what | how it is come to |", "|---|---|---|"]
    for name, entry in CRASH_TABLE.items():
        how = "; ".join(means.value for means in entry.means)
        lines.append(f"| {name} | {entry.what} | {how}{f' ({entry.note})' if entry.note else ''} |")
    return "\n".join(lines)
