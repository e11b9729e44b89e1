"""A proxy in front of the local cloud that says of every request that it came over TLS.

Our bucket and queue refuse requests without TLS. The local cloud speaks plain HTTP, and believes the header
`x-forwarded-proto` as behind a load balancer: the policies stay as they are on AWS, and are evaluated.

On the way, tests may let mishaps befall chosen requests: an error as S3 answers it, a connection that breaks before the
request, within the reply, or after what was asked for is done. And they may watch who asks for what.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HEAD_LIMIT = 1 << 20
BODY_KEPT = 1 << 16
CHUNK = 1 << 16


@dataclass
class Mishap:
    """What befalls requests of that method whose path holds that text: the first `times` of them."""

    method: str
    path: str
    times: int
    # Called before the request is passed on, and once it was done; either may take its time.
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    # Status and code of S3's error that is answered, and nothing done; status 0: the connection breaks.
    answer: tuple[int, str] | None = None
    # How much of the reply comes through before the connection breaks: bytes of its body, or nothing at all.
    body_bytes: int | None = None
    loses_reply: bool = False
    # Whose body changes on the way, by one bit: the `request`'s, or the `reply`'s.
    garbles: str = ""
    befallen: int = 0

    def befalls(self, method: str, path: str) -> bool:
        fits = self.befallen < self.times and method == self.method and self.path in path
        self.befallen += fits
        return fits


NOTHING = Mishap("", "", 0)


@dataclass
class Request:
    """A request that came by, as it was sent: path and query still encoded, and of its body no more than the start."""

    method: str
    path: str
    # Who signed it: an access key's id, empty for nobody.
    access_key: str
    body: bytearray = field(default_factory=bytearray)


class TlsProxy:
    """Listens on a free port of 127.0.0.1, in a thread of its own, and passes requests on to `upstream_port`."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-proxy", daemon=True)
        self.port = 0
        self._mishaps: list[Mishap] = []
        self._watchers: list[list[Request]] = []

    @contextlib.contextmanager
    def mishap(self, method: str, path: str, times: int = 1, **what) -> Iterator[Mishap]:
        """Lets this [`Mishap`] befall requests for as long as the `with` lasts."""
        mishap = Mishap(method, path, times, **what)
        self._mishaps.append(mishap)
        try:
            yield mishap
        finally:
            self._mishaps.remove(mishap)

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[Request]]:
        """The requests that come by while the `with` lasts."""
        seen: list[Request] = []
        self._watchers.append(seen)
        try:
            yield seen
        finally:
            # By identity: two lists may be equal.
            self._watchers = [watcher for watcher in self._watchers if watcher is not seen]

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_LIMIT, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server:
            self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """One connection of a client, with one connection upstream, for as many requests as the client keeps it open."""
        to_upstream = None
        try:
            while True:
                head = await read_head(client)
                # Upstream ends connections that are idle for long, of which the client learns nothing from us: it would
                # find all that it has kept broken, one after the other.
                if to_upstream is None or upstream.at_eof():
                    if to_upstream:
                        to_upstream.close()
                    upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port, limit=HEAD_LIMIT)
                if not await self._exchange(head, client, to_client, upstream, to_upstream):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # one side has gone, or we are stopping: closing the other says so
        finally:
            for writer in (to_client, to_upstream):
                if writer:
                    writer.close()

    async def _exchange(self, head, client, to_client, upstream, to_upstream) -> bool:
        """Passes one request, whose head is read, and its response on. False when the connection does not outlive them."""
        request, headers = head
        method, path, _ = request.split(b" ", 2)
        mishap = next((m for m in self._mishaps if m.befalls(method.decode(), path.decode())), NOTHING)
        seen = Request(method.decode(), path.decode(), signer(headers))
        for watcher in self._watchers:
            watcher.append(seen)
        if headers.get(b"expect", b"").lower() == b"100-continue":
            # Answered here, so that the body may simply follow its head.
            to_client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.to_thread(mishap.before)
        if mishap.answer:
            if mishap.answer[0]:
                await copy_body(client, Nowhere(), headers, length_unless_said=0)
                write_error(to_client, *mishap.answer)
                await to_client.drain()
            return False
        dropped = (b"expect", b"x-forwarded-proto")
        write_head(to_upstream, request, [h for h in headers.raw if h[0].lower() not in dropped] + [(b"x-forwarded-proto", b"https")])
        to = Garbled(to_upstream) if mishap.garbles == "request" else to_upstream
        await copy_body(client, Kept(to, seen.body), headers, length_unless_said=0)

        status, headers = await read_head(upstream)
        await asyncio.to_thread(mishap.after)
        if mishap.loses_reply:
            return False
        write_head(to_client, status, headers.raw)
        if mishap.body_bytes is not None:
            to_client.write(await upstream.readexactly(mishap.body_bytes))
            await to_client.drain()
            return False
        code = int(status.split(b" ", 2)[1])
        if method != b"HEAD" and code not in (204, 304):
            to = Garbled(to_client) if mishap.garbles == "reply" else to_client
            await copy_body(upstream, to, headers, length_unless_said=None)
        await to_client.drain()
        closed = headers.get(b"connection", b"").lower() == b"close"
        unbounded = b"content-length" not in headers and b"transfer-encoding" not in headers and code not in (204, 304)
        return not (closed or (unbounded and method != b"HEAD"))


class Headers(dict):
    """By lower-case name; `raw` has them as they came."""

    raw: list[tuple[bytes, bytes]]


async def read_head(reader: asyncio.StreamReader) -> tuple[bytes, Headers]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    raw = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    headers = Headers((name.lower(), value) for name, value in raw)
    headers.raw = raw
    return first, headers


def write_head(writer: asyncio.StreamWriter, first: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    writer.write(b"\r\n".join([first, *(name + b": " + value for name, value in headers), b"", b""]))


def write_error(writer: asyncio.StreamWriter, status: int, code: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>as a test wants it</Message></Error>".encode()
    head = [(b"content-type", b"application/xml"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    write_head(writer, b"HTTP/1.1 %d %s" % (status, code.encode()), head)
    writer.write(body)


def signer(headers: Headers) -> str:
    """The access key's id in a signature of version 4."""
    _, _, credential = headers.get(b"authorization", b"").partition(b"Credential=")
    return credential.split(b"/", 1)[0].decode()


class Kept:
    """A writer that keeps the start of what it passes on."""

    def __init__(self, writer: asyncio.StreamWriter, kept: bytearray) -> None:
        self._writer = writer
        self._kept = kept

    def write(self, data: bytes) -> None:
        self._kept += data[: BODY_KEPT - len(self._kept)]
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()


class Garbled:
    """A writer on whose way one bit changes, of the first piece that is more than a chunk's length."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._is_done = False

    def write(self, data: bytes) -> None:
        if not self._is_done and len(data) > 20:
            self._is_done, middle = True, len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()


class Nowhere:
    """A writer for what is not to be passed on."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


async def copy_body(reader, writer, headers: Headers, length_unless_said: int | None) -> None:
    """Copies a body as its headers bound it: in chunks, by length, or (length None) until the sender closes."""
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        await copy_chunks(reader, writer)
        return
    left = int(headers[b"content-length"]) if b"content-length" in headers else length_unless_said
    while left is None or left > 0:
        data = await reader.read(CHUNK if left is None else min(CHUNK, left))
        if not data:
            if left is not None:
                raise asyncio.IncompleteReadError(b"", left)
            break
        writer.write(data)
        await writer.drain()
        left = None if left is None else left - len(data)
    await writer.drain()


async def copy_chunks(reader, writer) -> None:
    while True:
        size_line = await reader.readuntil(b"\r\n")
        writer.write(size_line)
        size = int(size_line.split(b";", 1)[0], 16)
        if size == 0:
            break
        writer.write(await reader.readexactly(size + 2))
        await writer.drain()
    while True:  # trailers, up to an empty line
        line = await reader.readuntil(b"\r\n")
        writer.write(line)
        if line == b"\r\n":
            break
    await writer.drain()
