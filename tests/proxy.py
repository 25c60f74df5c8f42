"""A small reverse proxy that serves one server below a path, as a team's own would."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future


class Proxy:
    """Relays connections, one request each; whatever is not below the prefix is not there."""

    def __init__(self, port: int, prefix: str, strips: bool) -> None:
        self._upstream, self._prefix, self._strips = port, prefix.encode(), strips

    async def serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(answer):
            head = await client.readuntil(b"\r\n\r\n")
            line, _, rest = head.partition(b"\r\n")
            method, path, version = line.split(b" ")
            if path != self._prefix and not path.startswith(self._prefix + b"/"):
                answer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if self._strips:
                path = path.removeprefix(self._prefix) or b"/"
            server, asked = await asyncio.open_connection("127.0.0.1", self._upstream)
            kept = [each for each in rest.split(b"\r\n") if not each.lower().startswith(b"connection:")]
            asked.write(b" ".join((method, path, version)) + b"\r\nConnection: close\r\n" + b"\r\n".join(kept))
            with contextlib.closing(asked):
                sending = asyncio.create_task(relay(client, asked))
                await relay(server, answer)
                sending.cancel()


async def relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Everything, as it comes."""
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()


@contextlib.contextmanager
def proxied(port: int, prefix: str, strips: bool) -> Iterator[str]:
    """The address below which the server at `port` is served; `strips`: it is asked without the prefix."""
    begun: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        ending = asyncio.Event()
        server = await asyncio.start_server(Proxy(port, prefix, strips).serve, "127.0.0.1", 0)
        begun.set_result((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), ending))
        await ending.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.1)  # what they held is closed by then

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    own_port, loop, ending = begun.result(10)
    try:
        yield f"http://127.0.0.1:{own_port}{prefix}"
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
