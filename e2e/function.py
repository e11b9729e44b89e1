"""One function of ours as a process of this machine, fed by a Lambda runtime API of its own."""

import json
import os
import queue
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NEXT = "/2018-06-01/runtime/invocation/next"


class Function:
    """Runs a `bootstrap` for as long as the `with` lasts."""

    def __init__(self, binary: Path, environment: dict[str, str], log: Path) -> None:
        self._binary, self._environment, self._log = binary, environment, log
        self._events: queue.Queue[bytes] = queue.Queue()
        self._answers: queue.Queue[tuple[bool, bytes]] = queue.Queue()

    def __enter__(self) -> "Function":
        self._server = QuietServer(("127.0.0.1", 0), handler(self._events, self._answers))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        environment = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": self._binary.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
        }
        with self._log.open("ab") as log:
            environment = os.environ | environment | self._environment
            self._process = subprocess.Popen([self._binary], env=environment, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: dict) -> tuple[dict, float]:
        """The function's answer, and the seconds that it took."""
        started = time.perf_counter()
        self._events.put(json.dumps(event).encode())
        while True:
            try:
                succeeded, answer = self._answers.get(timeout=1)
                break
            except queue.Empty:
                if self._process.poll() is not None:
                    raise RuntimeError(f"{self._binary.name} ended with {self._process.returncode}, see {self._log}") from None
        if not succeeded:
            raise RuntimeError(f"{self._binary.name} failed: {answer.decode()}")
        return json.loads(answer), time.perf_counter() - started

    def peak_bytes(self) -> int:
        """The most memory that was resident so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


class QuietServer(ThreadingHTTPServer):
    """Says nothing when a client is killed, which is how each of them ends."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


def handler(events: queue.Queue, answers: queue.Queue) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = events.get()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "00000000-0000-0000-0000-000000000001")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 900) * 1000)))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:444455556666:function:local")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answers.put((self.path.endswith("/response"), body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
