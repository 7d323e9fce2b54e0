"""An account of the store for each service, and what it may do there, on a store that has accounts of its own.

versitygw has users and bucket policies. The policies are those of `deploy/s3`, one file per service as AWS takes them;
together, each with its account as the principal, they are the one policy of the bucket.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from lifemask.bus.roles import SERVICES, schema_of
from lifemask.cli.stops import Missing

HOLDERS: Final = (*SERVICES, "auditor")
"""Who has an account at the store: each service, and the audits, which read everything and write nothing."""
PREFIX: Final = "LIFEMASK_S3_SECRET_"
"""Before a service's schema in capitals: `LIFEMASK_S3_SECRET_IMAGE_VALIDATOR`."""
POLICIES: Final = "LIFEMASK_S3_POLICIES"
"""The variable that names the directory of the policies."""

_WRITTEN_FOR: Final = "arn:aws:s3:::lifemask"
_SECRET: Final = re.compile(r"[!-~]{8,128}")
_TIMEOUT: Final = 20.0
_EXISTS: Final = 409


@dataclass(frozen=True, slots=True)
class Account:
    """A service's own credentials; `secret` is not to be logged."""

    service: str
    secret: str

    @property
    def name(self) -> str:
        """The access key."""
        return account_of(self.service)

    def environment(self) -> dict[str, str]:
        """The variables with which the service uses it."""
        return {"AWS_ACCESS_KEY_ID": self.name, "AWS_SECRET_ACCESS_KEY": self.secret}


def account_of(service: str) -> str:
    """The access key of a service."""
    return f"lifemask-{service}"


def secret_variable(service: str) -> str:
    """The variable that holds a service's secret key."""
    return f"{PREFIX}{schema_of(service).upper()}"


def accounts_in(environment: Mapping[str, str]) -> list[Account]:
    """The accounts whose secrets are named. Raises Missing when only some are, or one cannot be a secret."""
    found = [Account(service, environment.get(secret_variable(service), "")) for service in HOLDERS]
    if not any(account.secret for account in found):
        return []
    for account in found:
        if not _SECRET.fullmatch(account.secret):
            raise Missing(
                f"{secret_variable(account.service)} is missing, or is no secret key of the store.",
                "Set one for every service and the auditor: 8 to 128 printable ASCII characters without spaces.",
            )
    return found


def bucket_policy(bucket: str, policies: Path, accounts: Sequence[Account]) -> str:
    """The bucket's policy (JSON) of all accounts. Raises Missing when a service's policy cannot be read."""
    statements: list[dict[str, Any]] = []
    for account in accounts:
        try:
            text = (policies / f"{account.service}.json").read_text()
            own = json.loads(text.replace(_WRITTEN_FOR, f"arn:aws:s3:::{bucket}"))["Statement"]
        except (OSError, ValueError, KeyError):
            raise Missing(
                f"The policy of {account.service} cannot be read in {policies}.", f"Set {POLICIES} to deploy/s3."
            ) from None
        whose = account.service.title().replace("-", "")
        statements += [{**each, "Sid": f"{whose}{each['Sid']}", "Principal": {"AWS": [account.name]}} for each in own]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


async def make_accounts(bucket: str, policies: Path, accounts: Sequence[Account]) -> None:
    """Makes or renews the accounts and the bucket's policy, as whoever the AWS_* variables name. Safe to repeat.

    Raises Missing when the store refuses.
    """
    import aioboto3
    from botocore.exceptions import BotoCoreError, ClientError

    policy = bucket_policy(bucket, policies, accounts)
    try:
        async with aioboto3.Session().client("s3") as s3:
            for account in accounts:
                await _make(s3, account)
            await s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    except (BotoCoreError, ClientError, OSError) as error:
        raise Missing(
            f"The services' accounts at the store cannot be made: {error}.",
            "The AWS_* variables of `prepare` must name the store's administrator.",
        ) from None


async def _make(s3: Any, account: Account) -> None:
    """An account with another secret is made anew: after `update-user` versitygw 1.8.0 may still take the old one.

    One whose secret fits stays as it is, because the service may be using it.
    """
    if await _fits(account):
        return
    made = (
        f"<Account><Access>{account.name}</Access><Secret>{escape(account.secret)}</Secret><Role>user</Role></Account>"
    )
    if await _ask(s3, "create-user", made) == _EXISTS:
        await _ask(s3, f"delete-user?access={account.name}")
        await _ask(s3, "create-user", made)


async def _fits(account: Account) -> bool:
    """Whether the store knows the account by this secret: what it then allows is another matter."""
    import aioboto3
    from botocore.exceptions import ClientError

    async with aioboto3.Session(account.name, account.secret).client("s3") as s3:
        try:
            await s3.list_buckets()
        except ClientError as error:
            return error.response.get("Error", {}).get("Code") not in {"InvalidAccessKeyId", "SignatureDoesNotMatch"}
    return True


async def _ask(s3: Any, path: str, body: str = "") -> int:
    """One call of versitygw's administration, which no S3 client knows; its status, 409 when the user exists."""
    import httpx
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    endpoint, region = s3.meta.endpoint_url, s3.meta.region_name
    credentials = await s3._request_signer._credentials.get_frozen_credentials()  # noqa: SLF001 # there is no other way
    request = AWSRequest("PATCH", f"{endpoint}/{path}", data=body.encode(), headers={"Content-Type": "application/xml"})
    S3SigV4Auth(credentials, "s3", region).add_auth(request)
    prepared = request.prepare()
    async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT) as http:
        answer = await http.request("PATCH", str(prepared.url), content=body.encode(), headers=dict(prepared.headers))
    if answer.is_success or answer.status_code == _EXISTS:
        return answer.status_code
    raise OSError(f"the store answers {answer.status_code}")
