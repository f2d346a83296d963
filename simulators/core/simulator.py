"""One simulator: a venue, its front, its faults and its request log, behind one lock."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from simulators.core.config import VenueConfig, build_board
from simulators.core.faults import FaultSchedule, Plan, faults_from
from simulators.core.settlement import Ids
from simulators.core.types import EntryKind
from simulators.core.venue import Venue, VenueRules
from simulators.core.wire import Answer, Call, Front, Socket, SocketFront, Stream, without_secrets


@dataclass(slots=True)
class RequestRecord:
    """What the log keeps of one request. `executed` counts how often the engine accepted it."""

    number: int
    time_ms: int
    method: str
    path: str
    query: str
    body: str
    host: str
    headers: dict[str, str]
    account: str | None
    faults: tuple[str, ...] = ()
    executed: int = 0
    handled: int = 0
    status: int | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """How to build a venue of one kind from a configuration; kept for resets."""

    config: VenueConfig
    rules: VenueRules
    make_ids: Callable[[], Ids]
    make_front: Callable[[Venue], Front]
    log: bool = field(default=True)


def build_venue(blueprint: Blueprint) -> Venue:
    """Return a fresh venue with its accounts funded."""
    config = blueprint.config
    clock = config.clock.build()
    instruments = {(i.kind, i.symbol): i.build() for i in config.instruments}
    venue = Venue(
        clock=clock,
        instruments=instruments.values(),
        board=build_board(config, instruments, clock),
        rules=blueprint.rules,
        ids=blueprint.make_ids(),
        seed=config.seed,
        lags=config.lags.build(),
        funding_rates=config.funding_rates,
        funding_rate=config.funding_rate,
    )
    for number, account in enumerate(config.accounts, start=1):
        built = account.build(number)
        venue.accounts[built.name] = built
        for coin, amount in account.balances.items():
            venue.deposit(built, coin, amount, kind=EntryKind.DEPOSIT)
    return venue


class Simulator:
    """Owns all state; every access goes through `lock`."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        self.lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Go back to the configuration: accounts, market, faults and log."""
        with self.lock:
            config = self.blueprint.config
            self.venue = build_venue(self.blueprint)
            self.front = self.blueprint.make_front(self.venue)
            self.faults = FaultSchedule(seed=config.seed)
            self.requests: deque[RequestRecord] = deque(maxlen=config.requests_kept_max)
            self.request_count = 0
            for fault in faults_from(config.faults):
                self.faults.add(fault, now_ms=self.venue.clock.gateway_ms())

    def gateway_ms(self) -> int:
        """Return the venue's time, as its clients see it."""
        with self.lock:
            return self.venue.clock.gateway_ms()

    def receive(self, call: Call) -> tuple[RequestRecord, Plan]:
        """Log a request and decide its fate."""
        with self.lock:
            owner = self.front.account_of(call)
            account = owner.name if owner is not None else None
            plan = self.faults.plan(call, account, self.venue.clock.gateway_ms())
            return self._log(call, account, plan), plan

    def receive_line(self, call: Call) -> Plan:
        """Decide whether a request, of which only the first line is known, is cut off; if so, log what is known."""
        with self.lock:
            plan = self.faults.plan_cut(call, self.venue.clock.gateway_ms())
            if plan.fired:
                self._log(call, None, plan)
            return plan

    def _log(self, call: Call, account: str | None, plan: Plan) -> RequestRecord:
        self.request_count += 1
        record = RequestRecord(
            number=self.request_count,
            time_ms=call.received_ms,
            method=call.method,
            path=call.path,
            query=call.raw_query,
            body=self.front.logged_body(call),
            host=call.headers.get("host", ""),
            headers=without_secrets(call.headers),
            account=account,
            faults=plan.fired,
        )
        self.requests.append(record)
        return record

    def open_stream(self, call: Call, record: RequestRecord, plan: Plan) -> Stream | Answer | None:
        """Let the front open a stream, if the request asks for one."""
        with self.lock:
            opened = self.front.open_stream(call, plan.handling)
            if opened is None:
                return None
            record.handled += 1
            if isinstance(opened, Answer):
                record.status, record.code = opened.status, opened.code
            else:
                record.executed += 1
                record.status = 200
            return opened

    def open_socket(self, call: Call, record: RequestRecord) -> Socket | None:
        """Let the front open a web socket, if it has one at the request's path."""
        with self.lock:
            self.venue.settle()
            opened = self.front.open_socket(call) if isinstance(self.front, SocketFront) else None
            if opened is not None:
                record.handled += 1
                record.executed += 1
                record.status = 101
            return opened

    def tell(self, socket: Socket, data: bytes) -> None:
        """Hand a frame of the client to its web socket."""
        with self.lock:
            self.venue.settle()
            socket.receive(data)

    def poll(self, stream: Stream | Socket) -> list[bytes]:
        """Return what a stream or a web socket has to say now."""
        with self.lock:
            self.venue.settle()
            return stream.poll()

    def close(self, stream: Stream | Socket) -> None:
        """Forget a stream or a web socket."""
        with self.lock:
            stream.close()

    def execute(self, call: Call, record: RequestRecord, plan: Plan) -> Answer:
        """Let the front answer a request, under the plan's skew and reading faults."""
        with self.lock:
            clock = self.venue.clock
            clock.skew_ms += plan.skew_ms
            try:
                answer = self.front.handle(call, plan.handling)
            finally:
                clock.skew_ms -= plan.skew_ms
            record.handled += 1
            record.code = answer.code
            record.status = answer.status
            if answer.executed:
                record.executed += 1
                self.faults.executed(call.path, record.account, clock.gateway_ms())
            return answer
