"""The local cloud: MiniStack in place of AWS, with IAM enforced, for as long as a `with` lasts."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
import botocore.config

from proxy import TlsProxy

REGION = "us-east-1"
OUR_ACCOUNT = "444455556666"
PUBLISHER_ACCOUNT = "111122223333"
LAST_LOG = Path(__file__).resolve().parent.parent / "target" / "local-cloud.log"


class LocalCloud:
    """`endpoint` is where AWS is (`endpoint_without_tls`: past the proxy), `folder` where all its files are."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="windrow-cloud-"))
        self.log = self.folder / "cloud.log"
        self.endpoint = ""
        self.endpoint_without_tls = ""
        self.proxy: TlsProxy | None = None
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "LocalCloud":
        forget_the_callers_aws()
        try:
            port = free_port()
            self.proxy = TlsProxy(port)
            self.proxy.start()
            self.endpoint = f"http://127.0.0.1:{self.proxy.port}"
            self.endpoint_without_tls = f"http://127.0.0.1:{port}"
            self._start(port)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind and issubclass(kind, Exception):
            self.keep_log()
        self.stop()

    def keep_log(self) -> None:
        """Copies the log to where it outlives the cloud."""
        LAST_LOG.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.log, LAST_LOG)
        print(f"The local cloud's log is kept as {LAST_LOG}", file=sys.stderr)

    def environment(self, account: str = OUR_ACCOUNT, region: str = REGION) -> dict[str, str]:
        """What AWS's tools and SDKs need to be that account's root in this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
        }

    def client(
        self,
        service: str,
        account: str = OUR_ACCOUNT,
        credentials: dict | None = None,
        tls: bool = True,
        region: str = REGION,
    ):
        """A boto3 client as that account's root, or with the credentials that AssumeRole answered."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint if tls else self.endpoint_without_tls,
            region_name=region,
            aws_access_key_id=credentials["AccessKeyId"] if credentials else account,
            aws_secret_access_key=credentials["SecretAccessKey"] if credentials else "test",
            aws_session_token=credentials["SessionToken"] if credentials else None,
            config=botocore.config.Config(max_pool_connections=50),
        )

    def _start(self, port: int) -> None:
        data = self.folder / "data"
        data.mkdir()
        environment = os.environ | {
            "AUTH": "true",
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            # The functions inherit it: they too go through the proxy.
            "AWS_ENDPOINT_URL": self.endpoint,
            "TMPDIR": str(data),
            "S3_DATA_DIR": str(data / "s3"),
            "STATE_DIR": str(data / "state"),
            # Lambda waits a minute before it retries an event; nobody needs to watch that.
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
            "LAMBDA_EXECUTOR": "local",
            # The machine's Docker is none of our business.
            "DOCKER_HOST": f"unix://{data}/no-docker",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
        }
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal does not reach it, and the functions that it starts are
            # in its process group, so that all of them can be ended together.
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("ministack")],
                env=environment,
                cwd=data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_healthy(port)

    def function_processes(self, function_name: str) -> list[int]:
        """The processes in which this cloud runs a function."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes().split(b"\0")
                is_ours = f"AWS_ENDPOINT_URL={self.endpoint}".encode() in environment
                if is_ours and f"AWS_LAMBDA_FUNCTION_NAME={function_name}".encode() in environment:
                    found.append(int(folder.name))
        return found

    def _wait_until_healthy(self, port: int, seconds: int = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the local cloud ended with {self._process.returncode}:\n{tail(self.log)}")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=5).close()
                return
            time.sleep(0.1)
        raise RuntimeError(f"the local cloud did not answer within {seconds} s:\n{tail(self.log)}")

    def stop(self) -> None:
        """Ends every process that this cloud started, and removes its folder. An impatient Ctrl-C has to wait for it."""
        with signals_ignored():
            if self._process:
                end_process_group(self._process)
                self._process = None
            if self.proxy:
                self.proxy.stop()
                self.proxy = None
            shutil.rmtree(self.folder, ignore_errors=True)


def forget_the_callers_aws() -> None:
    """Nothing of the caller's own AWS account or network may be used in what follows, by us or by any child."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "WINDROW_"))]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))


def exit_on_signals() -> None:
    """Lets SIGTERM and a closed terminal end a program as Ctrl-C does: through its `with` blocks."""
    # A shell starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


@contextlib.contextmanager
def signals_ignored():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def end_process_group(leader: subprocess.Popen, patience_seconds: float = 5) -> None:
    leader.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        leader.wait(patience_seconds)
    # The functions' processes, which outlive their parent.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
