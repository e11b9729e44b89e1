"""A proxy in front of the local cloud that says of every request that it came over TLS.

Our bucket and queue refuse requests without TLS. The local cloud speaks plain HTTP, and believes the header
`x-forwarded-proto` as behind a load balancer: the policies stay as they are on AWS, and are evaluated.
"""

import asyncio
import threading

HEAD_LIMIT = 1 << 20
CHUNK = 1 << 16


class TlsProxy:
    """Listens on a free port of 127.0.0.1, in a thread of its own, and passes requests on to `upstream_port`."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-proxy", daemon=True)
        self.port = 0

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
        """One connection of a client, with one connection upstream, for as many requests as both keep it open."""
        to_upstream = None
        try:
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port, limit=HEAD_LIMIT)
            while await exchange(client, to_client, upstream, to_upstream):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # one side has gone, or we are stopping: closing the other says so
        finally:
            for writer in (to_client, to_upstream):
                if writer:
                    writer.close()


async def exchange(client, to_client, upstream, to_upstream) -> bool:
    """Passes one request and its response on. False when the connection does not outlive them."""
    request, headers = await read_head(client)
    method = request.split(b" ", 1)[0]
    if headers.get(b"expect", b"").lower() == b"100-continue":
        # Answered here, so that the body may simply follow its head.
        to_client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    dropped = (b"expect", b"x-forwarded-proto")
    write_head(to_upstream, request, [h for h in headers.raw if h[0].lower() not in dropped] + [(b"x-forwarded-proto", b"https")])
    await copy_body(client, to_upstream, headers, length_unless_said=0)

    status, headers = await read_head(upstream)
    write_head(to_client, status, headers.raw)
    code = int(status.split(b" ", 2)[1])
    if method != b"HEAD" and code not in (204, 304):
        await copy_body(upstream, to_client, headers, length_unless_said=None)
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
