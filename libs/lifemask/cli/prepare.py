"""`lifemask prepare`: what the services share besides database and topics, made once, before their first start.

The key of link URLs, an apps file with one app, and the bucket. Whatever is there already stays as it is.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from lifemask.cli.house import APP, write_private
from lifemask.cli.keys import RootPath, make_missing
from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Missing
from lifemask.cli.store_accounts import POLICIES, accounts_in, make_accounts

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

AppOption = Annotated[str, typer.Option("--app", help="Name of the app, when there is no apps file yet.")]

_REAL: Final = (
    ("REPLICATE_API_TOKEN", "r8_sandbox", "REPLICATE_BASE_URL", "https://api.replicate.com"),
    ("HF_TOKEN", "hf_sandbox", "HF_ENDPOINT", "https://huggingface.co"),
)
"""A token, how the sandbox's own begins, the variable that says where it goes, and where a real one should go."""


def prepare(*, app: AppOption = APP, root: RootPath = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Make keys, apps file and bucket where they are missing. Safe to repeat. Shows a new app's key, this once."""

    async def work(out: Out) -> Code:
        refuse_halves(os.environ)
        try:
            keys = Path(_setting("LIFEMASK_KEYS", "a directory for keys"))
            _make_url_key(keys)
            if (made := make_missing(keys, root)) is not None:
                out.fact("keys_made", root=made.root)
                out.show(f"Keys were made; the root is {made.root}.")
            if each := os.environ.get("LIFEMASK_KEYS_EACH"):
                _hand_out(keys, Path(each))
            _make_apps(Path(_setting("LIFEMASK_APPS", "where the apps file shall be")), app, out)
        except OSError as error:
            raise Missing(
                f"{error.filename} cannot be written: {error.strerror}.", "Give this account the right."
            ) from None
        where = urlsplit(_setting("LIFEMASK_OBJECTS", "s3://bucket or file:///directory"))
        if where.scheme == "s3":
            await _make_bucket(where.netloc, out)
            await _make_accounts(where.netloc, out)
        out.fact("prepared")
        out.show("Keys, apps and objects are ready.")
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


def refuse_halves(environment: Mapping[str, str]) -> None:
    """Raises Missing when a real token would go to a stand-in, or the real provider could not reach us."""
    for token, stand_in, address, proper in _REAL:
        value = environment.get(token, "")
        if value and not value.startswith(stand_in) and environment.get(address, proper).startswith("http://"):
            raise Missing(f"{token} is a real one, but {address} is a stand-in's.", f"Set {address}={proper}.")
    provider = environment.get("REPLICATE_API_TOKEN", "")
    host = urlsplit(environment.get("LIFEMASK_PUBLIC_URL", "")).hostname or "localhost"
    if provider and not provider.startswith("r8_sandbox") and (host.endswith("localhost") or host == "127.0.0.1"):
        raise Missing(
            "REPLICATE_API_TOKEN is a real one, but Replicate cannot reach this machine by LIFEMASK_PUBLIC_URL.",
            "Set LIFEMASK_PUBLIC_URL to the https address under which ingest is reached from outside.",
        )


def _setting(name: str, what: str) -> str:
    if value := os.environ.get(name):
        return value
    raise Missing(f"{name} is not set.", f"Set it to {what}.")


def _make_url_key(keys: Path) -> None:
    from lifemask.objects.tokens import load_secret

    load_secret(keys)


def _hand_out(keys: Path, each: Path) -> None:
    from lifemask.keys.making import hand_out

    hand_out(keys, each, {"ingest": ["url.key"], "trainer": ["url.key"]})


def _make_apps(path: Path, app: str, out: Out) -> None:
    if path.exists():
        return
    key = f"lm_{secrets.token_urlsafe(32)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps({app: {"key_sha256": hashlib.sha256(key.encode()).hexdigest()}}, indent=2).encode())
    out.fact("app_made", app=app, key=key)
    out.show(f"The key of the app '{app}', shown this once: {key}")


async def _make_bucket(bucket: str, out: Out) -> None:
    import aioboto3
    from aiobotocore.config import AioConfig
    from botocore.exceptions import BotoCoreError, ClientError

    config = AioConfig(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 5})
    try:
        async with aioboto3.Session().client("s3", config=config) as s3:
            if await _is_there(s3, bucket):
                return
            await s3.create_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise Missing(
            f"The bucket {bucket} cannot be made: {error}.",
            "Check LIFEMASK_OBJECTS and the AWS_* variables, or make it yourself.",
        ) from None
    out.fact("bucket_made", bucket=bucket)
    out.show(f"The bucket {bucket} was made.")


async def _make_accounts(bucket: str, out: Out) -> None:
    accounts = accounts_in(os.environ)
    if not accounts:
        return
    await make_accounts(bucket, Path(_setting(POLICIES, "the directory of the services' policies")), accounts)
    out.fact("accounts_made", accounts=[account.name for account in accounts])
    out.show("Each service has an account of its own at the store.")


async def _is_there(s3: "S3Client", bucket: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        await s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True
