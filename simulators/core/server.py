"""The socket side: one port for the venue's protocol and the control API, faults on the wire, threads, signals."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from aiohttp import WSMsgType, web

from simulators.core.clock import wall_ns
from simulators.core.control import Control, ControlError
from simulators.core.faults import Action, FaultKind, Plan
from simulators.core.listening import CuttingServer, reset
from simulators.core.simulator import RequestRecord, Simulator
from simulators.core.wire import Answer, Call, Socket, Stream, dump, to_json

CONTROL_PREFIX = "/_control/"
BODY_BYTES_MAX = 4 * 1024 * 1024
HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
VENUE_POLL_S = 0.005
STREAM_POLL_S = 0.02
ControlT = TypeVar("ControlT", bound=Control)
Listener = web.ServerRunner


class Service(Generic[ControlT]):
    """Serves one simulator."""

    def __init__(self, simulator: Simulator, control: ControlT) -> None:
        self.simulator = simulator
        self.control = control

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        target = request.raw_path
        path, _, query = target.partition("?")
        if path.startswith(CONTROL_PREFIX):
            return await asyncio.to_thread(self._control, request.method, path[len(CONTROL_PREFIX) :], query, body)
        call = Call(
            method=request.method,
            path=path,
            raw_query=query,
            body=body,
            headers={name.lower(): value for name, value in request.headers.items()},
            remote=request.remote or "",
            received_ms=wall_ns() // 1_000_000,
        )
        record, plan = self.simulator.receive(call)
        response = await self._answer(request, call, record, plan)
        if not response.prepared:
            at_s = (self.simulator.gateway_ms() + plan.skew_ms) / 1000
            response.headers["Date"] = formatdate(at_s, usegmt=True)  # in the venue's time: some clients read it
        return response

    async def _answer(
        self, request: web.BaseRequest, call: Call, record: RequestRecord, plan: Plan
    ) -> web.StreamResponse:
        if not plan.fired:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                socket = self.simulator.open_socket(call, record)
                if socket is not None:
                    return await self._socket(request, socket)
            opened = self.simulator.open_stream(call, record, plan)
            if opened is not None:
                return await self._opened(request, opened, None)
            return _response(self.simulator.execute(call, record, plan))
        return await self._faulty(request, call, record, plan)

    # faults
    def cut_after_bytes(self, call: Call) -> int | None:
        """Return after how many bytes of a request its connection is to be reset, from its first line."""
        if call.path.startswith(CONTROL_PREFIX):
            return None
        action = self.simulator.receive_line(call).terminal
        return action.after_bytes if action is not None else None

    async def _venue_time(self, seconds: float) -> None:
        """Wait until the venue's clock has moved on by that."""
        due_ms = self.simulator.gateway_ms() + round(seconds * 1000)
        while self.simulator.gateway_ms() < due_ms:
            await asyncio.sleep(VENUE_POLL_S)

    async def _faulty(
        self, request: web.BaseRequest, call: Call, record: RequestRecord, plan: Plan
    ) -> web.StreamResponse:
        if plan.before_s:
            await asyncio.sleep(plan.before_s)
        if plan.before_venue_s:
            await self._venue_time(plan.before_venue_s)
        action = plan.terminal
        if action is None or action.kind in _EXECUTING:
            opened = self.simulator.open_stream(call, record, plan)
            if opened is not None:
                return await self._opened(request, opened, action)
        answer: Answer | None = None
        for _ in range(_copies(action)):
            answer = self.simulator.execute(call, record, plan)
        if plan.after_s:
            await asyncio.sleep(plan.after_s)
        if action is None or action.kind is FaultKind.DUPLICATE:
            assert answer is not None, "an undisturbed request is executed"
            return _response(answer)
        if action.kind is FaultKind.TRICKLE:
            assert answer is not None
            return await _trickle(request, answer, action.gap_s or 0)
        return self._deliver(request, record, action, answer)

    def _deliver(
        self, request: web.BaseRequest, record: RequestRecord, action: Action, answer: Answer | None
    ) -> web.StreamResponse:
        kind = action.kind
        if kind in (FaultKind.DROP, FaultKind.EXECUTE_THEN_DROP):
            record.status = None
            return _cut(request, b"", is_reset=action.reset)
        if kind is FaultKind.RESET:
            assert answer is not None
            record.status = None
            return _cut(request, _raw(answer)[: action.after_bytes], is_reset=True)
        if kind is FaultKind.TRUNCATED:
            assert answer is not None
            return web.Response(body=answer.body[: action.after_bytes], content_type="application/json")
        if kind is FaultKind.HUGE:
            assert answer is not None
            return _response(replace(answer, body=answer.body.ljust(action.size_bytes or 0)))
        if kind is FaultKind.CONTENT_TYPE:
            assert answer is not None
            return _response(replace(answer, content_type=action.content_type or ""))
        if kind is FaultKind.BAD_JSON:
            return web.Response(body=self.simulator.front.broken_json, content_type="application/json")
        if kind is FaultKind.HTML:
            return web.Response(body=HTML, content_type="text/html")
        record.status = action.status
        if kind is FaultKind.REDIRECT:
            assert action.status is not None
            assert action.location is not None
            return web.Response(status=action.status, headers={"Location": action.location})
        with self.simulator.lock:
            if kind is FaultKind.ERROR:
                assert action.code is not None
                record.code = str(action.code)
                return _response(self.simulator.front.coded(action.code, action.message))
            assert action.status is not None
            response = _response(self.simulator.front.overloaded(action.status))
        if action.retry_after_s is not None:
            response.headers["Retry-After"] = str(action.retry_after_s)
        return response

    # streams
    async def _opened(
        self, request: web.BaseRequest, opened: Stream | Answer, action: Action | None
    ) -> web.StreamResponse:
        if isinstance(opened, Answer):
            return _response(opened)
        return await self._stream(request, opened, action)

    async def _stream(self, request: web.BaseRequest, stream: Stream, action: Action | None) -> web.StreamResponse:
        """Send what a stream has to say until one side ends it, or until a fault cuts it after so many bytes."""
        cuts = action is not None and action.kind in _CUTTING
        left = (action.after_bytes or 0) if action is not None and cuts else None
        content_type = action.content_type if action is not None and action.content_type else stream.content_type
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            while left is None or left > 0:
                for piece in _pieces(self.simulator.poll(stream), stream.piece_bytes):
                    await response.write(piece[:left])
                    left = None if left is None else max(left - len(piece), 0)
                    if left == 0:
                        break
                if stream.ended or request.transport is None or request.transport.is_closing():
                    break
                await asyncio.sleep(STREAM_POLL_S)
        except ConnectionError:
            return response
        finally:
            self.simulator.close(stream)
        if action is not None and cuts:
            return _cut(request, b"", is_reset=action.kind is FaultKind.RESET)
        return response

    async def _socket(self, request: web.BaseRequest, socket: Socket) -> web.StreamResponse:
        """Carry frames both ways until one side ends it; the venue's are binary, as some venues send JSON."""
        response = web.WebSocketResponse()
        try:
            await response.prepare(request)
            while not socket.ended and not response.closed:
                for frame in self.simulator.poll(socket):
                    await response.send_bytes(frame)
                try:
                    message = await response.receive(timeout=STREAM_POLL_S)
                except TimeoutError:
                    continue
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    data = message.data
                    self.simulator.tell(socket, data if isinstance(data, bytes) else data.encode())
            for frame in [] if response.closed else self.simulator.poll(socket):
                await response.send_bytes(frame)
            await response.close()
        except ConnectionError:
            return response
        finally:
            self.simulator.close(socket)
        return response

    # control
    def _control(self, method: str, name: str, query: str, body: bytes) -> web.Response:
        try:
            arguments: object = json.loads(body) if body else dict(parse_qsl(query))
            if not isinstance(arguments, dict):
                raise ControlError("arguments must be a JSON object")
            result = self.control.call(method, name, arguments)
        except (ControlError, ValueError) as error:
            return web.Response(status=400, body=dump({"error": str(error)}), content_type="application/json")
        return web.Response(body=dump(to_json(result)), content_type="application/json")


def _copies(action: Action | None) -> int:
    """Return how often a request is executed under a final action."""
    if action is None or action.kind in _EXECUTING:
        return 1
    if action.kind is FaultKind.DUPLICATE:
        return action.copies
    return 1 if action.execute else 0


_EXECUTING = frozenset(
    {
        FaultKind.EXECUTE_THEN_DROP,
        FaultKind.RESET,
        FaultKind.TRUNCATED,
        FaultKind.HUGE,
        FaultKind.CONTENT_TYPE,
        FaultKind.TRICKLE,
    }
)


_CUTTING = frozenset({FaultKind.EXECUTE_THEN_DROP, FaultKind.RESET, FaultKind.TRUNCATED})


def _pieces(parts: list[bytes], size: int | None) -> Iterator[bytes]:
    """Yield parts whole, or all of them cut into pieces of a size, wherever an object begins or ends."""
    if size is None:
        yield from (part for part in parts if part)
        return
    whole = b"".join(parts)
    yield from (whole[start : start + size] for start in range(0, len(whole), size))


def _response(answer: Answer) -> web.Response:
    headers = dict(answer.headers)
    headers["Content-Type"] = answer.content_type
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def _raw(answer: Answer) -> bytes:
    head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: {answer.content_type}\r\n"
    return f"{head}Content-Length: {len(answer.body)}\r\n\r\n".encode() + answer.body


def _cut(request: web.BaseRequest, sent: bytes, *, is_reset: bool) -> web.StreamResponse:
    """Send some bytes and end the connection: with a reset (RST), or an ordinary close (FIN)."""
    transport = request.transport
    if transport is not None:
        if sent:
            transport.write(sent)
        if is_reset:
            reset(transport)
        else:
            transport.close()
    return web.Response(status=500)


async def _trickle(request: web.BaseRequest, answer: Answer, gap_s: float) -> web.StreamResponse:
    """Send an answer byte by byte, as long as somebody listens."""
    response = web.StreamResponse(status=answer.status)
    response.content_type = "application/json"
    response.content_length = len(answer.body)
    try:
        await response.prepare(request)
        for byte in answer.body:
            await response.write(bytes((byte,)))
            await asyncio.sleep(gap_s)
    except ConnectionError:
        pass  # the client gave up: that is what a trickle is for
    return response


class Running(Generic[ControlT]):
    """A simulator that answers on `url`; `control` is the same state for Python."""

    def __init__(
        self, *, url: str, simulator: Simulator, control: ControlT, loop: asyncio.AbstractEventLoop, runner: Listener
    ) -> None:
        self.url = url
        self.simulator = simulator
        self.control = control
        self._loop = loop
        self._runner = runner

    @contextmanager
    def refusing_connections(self) -> Iterator[None]:
        """Nobody listens while the block runs: open connections are reset, new ones are refused."""
        asyncio.run_coroutine_threadsafe(self._stop_listening(), self._loop).result(timeout=10)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(_listen(self._runner, *_address(self.url)), self._loop).result(timeout=10)

    async def _stop_listening(self) -> None:
        for site in self._runner.sites:
            await site.stop()
        server = self._runner.server
        assert isinstance(server, CuttingServer)
        server.reset_all()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


async def _listen(runner: Listener, host: str, port: int) -> None:
    await web.TCPSite(runner, host, port, backlog=512).start()


async def start(service: Service[ControlT], *, host: str, port: int) -> tuple[Listener, str]:
    """Listen on a loopback address and return the runner and the URL."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError(f"a simulator listens on loopback only, was asked for {host!r}")
    server = CuttingServer(service, decide=service.cut_after_bytes, access_log=None)
    runner = web.ServerRunner(server, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await _listen(runner, host, port)
    bound = runner.addresses[0][1]
    return runner, f"http://{host}:{bound}"


async def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Requests that a fault still holds back end with the server."""
    left = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@contextmanager
def serve_in_thread(
    simulator: Simulator, control: ControlT, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Running[ControlT]]:
    """Serve in a background thread until the block ends."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    found: list[tuple[Listener, str]] = []
    failed: list[BaseException] = []

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            found.append(loop.run_until_complete(start(Service(simulator, control), host=host, port=port)))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failed.append(error)
        ready.set()
        if found:
            loop.run_forever()
            loop.run_until_complete(found[0][0].cleanup())
            loop.run_until_complete(_end_tasks(loop))
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    ready.wait()
    if failed:
        raise failed[0]
    try:
        yield Running(url=found[0][1], simulator=simulator, control=control, loop=loop, runner=found[0][0])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
