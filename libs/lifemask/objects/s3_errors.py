"""What the errors of the S3 client mean to a caller of the store.

Texts name the permission, the bucket and the key's first part: the rest of a key names a user.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ResponseStreamingError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.objects.keys import place
from lifemask.objects.port import ObjectExists, ObjectMissing

_PASSING: Final = (
    NoConnectionError,
    HTTPClientError,  # connect and read timeouts, refused and dropped connections, TLS
    IncompleteReadError,
    ResponseStreamingError,
    CredentialRetrievalError,
    TokenRetrievalError,
    aiohttp.ClientError,
    TimeoutError,
    ConnectionError,
)
_PASSING_CODES: Final = frozenset({"RequestTimeout", "NoSuchUpload", "BadDigest"})
"""Passing though their status says otherwise: a slow upload, a completion that was repeated, bytes hurt on the way."""
_PASSING_STATUS: Final = frozenset({408, 409, 429})
"""409 is a conflict with a write or delete at the same time, also in the same folder where folders are real."""
_UNSUPPORTED: Final = 501
_FIXES: Final = {
    "NoSuchBucket": "the bucket does not exist",
    "InvalidBucketName": "the bucket's name is not valid",
    "InvalidAccessKeyId": "the access key is not known (AWS_ACCESS_KEY_ID)",
    "SignatureDoesNotMatch": "the secret key does not fit (AWS_SECRET_ACCESS_KEY)",
    "ExpiredToken": "the credentials have expired",
    "InvalidToken": "the session token is not valid (AWS_SESSION_TOKEN)",
    "RequestTimeTooSkewed": "the clock of this machine differs from the store's",
    "PermanentRedirect": "the bucket lies in another region (AWS_DEFAULT_REGION)",
    "AuthorizationHeaderMalformed": "the region is wrong (AWS_DEFAULT_REGION)",
    "AccountProblem": "the account is blocked",
}


class Denied(Misconfigured):
    """The store answers 403 to a call that needs `permission`: for this one object, or for all that we ask."""

    def __init__(self, permission: str, where: str) -> None:
        super().__init__(FailureCode.STORE_DENIED, f"{permission} denied on {where}")
        self.permission = permission


@contextmanager
def translated(permission: str, bucket: str, key: str) -> Iterator[None]:
    """The client's errors in the words of the port. `permission` is what the calls inside need: `s3:GetObject`."""
    try:
        yield
    except ClientError as error:
        raise _answer(error, permission, f"{bucket}/{place(key)}") from None
    except (NoCredentialsError, PartialCredentialsError, NoRegionError) as error:
        raise Misconfigured(FailureCode.STORE_DENIED, f"{permission}: {error}") from None
    except _PASSING:
        raise Retryable(FailureCode.STORE_UNAVAILABLE) from None
    except BotoCoreError as error:  # its text may quote a key
        raise Misconfigured(FailureCode.STORE_DENIED, f"{permission}: {type(error).__name__}") from None


def code_of(error: ClientError) -> str:
    """The store's word for it; for answers without a body the status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _answer(error: ClientError, permission: str, where: str) -> Exception:
    code, status = code_of(error), error.response["ResponseMetadata"]["HTTPStatusCode"]
    if code == "PreconditionFailed" or status == 412:
        return ObjectExists("an object of this key exists")
    if code in _FIXES:
        return Misconfigured(FailureCode.STORE_DENIED, f"{permission} on {where}: {_FIXES[code]}")
    if code in _PASSING_CODES or status in _PASSING_STATUS or (status >= 500 and status != _UNSUPPORTED):
        return Retryable(FailureCode.STORE_UNAVAILABLE)
    if status == 404:
        return ObjectMissing("there is no such object")
    if status in {401, 403}:
        return Denied(permission, where)
    return Misconfigured(FailureCode.STORE_DENIED, f"{permission} on {where}: the store answers {status} {code}")
