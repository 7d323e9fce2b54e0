"""An S3 server on this machine: versitygw 1.8.0 on 127.0.0.1 alone, objects as plain files.

    python -m tools.s3 [--data DIR] [--bucket NAME] [--fetch]

Needs Go, the first time, which builds it in about 85 s. Credentials are made at the first start and kept with the data
(mode 0600). It has no lifecycle rules; users and bucket policies work (`versitygw admin`, at the same address). What
it knows of objects and buckets lies in files of its own: the extended attributes that it would use take 4 KB on ext4,
and the policy of all services is larger.
"""

import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import aioboto3
import httpx
from botocore.exceptions import ClientError

from lifemask.cli.house import write_private
from lifemask.cli.ports import choose_ports
from tools.servers import CannotRun, Server, arguments, made_once, main, occupied, program, run_tool, until

VERSION: Final = "v1.8.0"
BUCKET: Final = "lifemask"
REGION: Final = "us-east-1"
_MODULE: Final = "github.com/versity/versitygw/cmd/versitygw"
_START_PATIENCE: Final = 15.0


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where the server is and who may do everything there. `secret_key` is not to be logged."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str

    def environment(self) -> dict[str, str]:
        """The variables with which Lifemask uses it."""
        return {
            "LIFEMASK_OBJECTS": f"s3://{self.bucket}",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
        }


def gateway() -> Path:
    """The program, built by Go the first time. Raises CannotRun."""
    return made_once(f"versitygw-{VERSION}", _build) / "versitygw"


@contextlib.asynccontextmanager
async def running_s3(folder: Path, bucket: str = BUCKET) -> AsyncIterator[S3Place]:
    """A server with an empty or known bucket for as long as the block lasts; objects in `folder`. Raises CannotRun."""
    async with _serving(folder, bucket) as (place, _):
        yield place


@contextlib.asynccontextmanager
async def _serving(folder: Path, bucket: str) -> AsyncIterator[tuple[S3Place, Server]]:
    program_file = gateway()
    with occupied(folder) as home:
        for name in ("users", "metadata", "objects"):
            (home / name).mkdir(exist_ok=True)
        address = f"127.0.0.1:{choose_ports(['s3'], home)['s3']}"
        place = S3Place(f"http://{address}", *_credentials(home), bucket)
        options = ("--port", address, "--region", REGION, "--health", "/health", "--quiet")
        backend = ("posix", "--sidecar", str(home / "metadata"), str(home / "objects"))
        command = (str(program_file), *options, "--iam-dir", str(home / "users"), *backend)
        keys = {"ROOT_ACCESS_KEY": place.access_key, "ROOT_SECRET_KEY": place.secret_key}
        with Server("versitygw", command, home / "s3.log", keys) as server:
            await until(partial(_is_healthy, place.endpoint), [server], _START_PATIENCE)
            await _make_bucket(place)
            yield place, server


async def _is_healthy(endpoint: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"{endpoint}/health")).is_success
        except httpx.TransportError:
            return False


async def _make_bucket(place: S3Place) -> None:
    session = aioboto3.Session(place.access_key, place.secret_key, region_name=REGION)
    async with session.client("s3", endpoint_url=place.endpoint) as s3:
        try:
            await s3.create_bucket(Bucket=place.bucket)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise CannotRun(f"The bucket {place.bucket} cannot be made: {code}.") from None


def _credentials(home: Path) -> tuple[str, str]:
    path = home / "credentials.json"
    if not path.exists():
        fresh = _Credentials(f"LM{secrets.token_hex(9).upper()}", secrets.token_urlsafe(30))
        write_private(path, json.dumps(asdict(fresh)).encode())
    known = _Credentials(**json.loads(path.read_text()))
    return known.access_key, known.secret_key


@dataclass(frozen=True, slots=True)
class _Credentials:
    access_key: str
    secret_key: str


def _build(place: Path) -> None:
    go = program("go", "versitygw is built by Go: install it from https://go.dev/dl/.")
    print(f"Building versitygw {VERSION} (a minute or two, once)", file=sys.stderr, flush=True)
    run_tool((go, "install", f"{_MODULE}@{VERSION}"), "Building versitygw", {"GOBIN": str(place)})


@contextlib.asynccontextmanager
async def _told(folder: Path, bucket: str) -> AsyncIterator[tuple[str, Sequence[Server]]]:
    async with _serving(folder, bucket) as (place, server):
        lines = [f"S3 runs; Ctrl-C stops it. Objects, as files: {folder / 'objects' / bucket}"]
        lines += [f"{name}={value}" for name, value in place.environment().items()]
        yield os.linesep.join(lines), [server]


if __name__ == "__main__":
    parser = arguments("S3 on this machine", Path(".lifemask") / "s3")
    parser.add_argument("--bucket", default=BUCKET, help="made when missing; at least 3 characters (default: lifemask)")
    chosen = parser.parse_args()
    sys.exit(main(chosen, gateway, partial(_told, chosen.data, chosen.bucket)))
