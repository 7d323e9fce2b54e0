"""Others' services: the training provider, the hub, the mail server, and our own address as they see it.

Nothing is paid and nothing is made: only questions are asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from lifemask.runtime.checkup import Finding, Probe

_TIMEOUT: Final = 3.0
_TOKEN: Final = "Set REPLICATE_API_TOKEN to a token of the account that owns the destination."  # noqa: S105  no token
_REFUSED: Final = frozenset({401, 402, 403})


class _Away(Exception):
    """Nobody answers, or not as an API does."""


def provider_probe(
    token: str, url: str, *, destination: str = "", trainer: str = "", version: str = "", callbacks: bool = False
) -> Probe:
    """The provider's account; for who trains the destination and the trainer's version, else the callbacks' secret."""
    away = "Look at REPLICATE_BASE_URL, and at the provider's status page."

    async def act() -> Sequence[Finding]:
        async with _client(url, token) as http:
            try:
                return await _provider(http, destination, trainer, version, callbacks=callbacks)
            except _Away as problem:
                return [Finding("provider", "answers", f"the provider does not answer: {problem}", away)]

    return Probe("provider", act, away)


async def _provider(
    http: httpx.AsyncClient, destination: str, trainer: str, version: str, *, callbacks: bool
) -> list[Finding]:
    status, _ = await _ask(http, "/v1/account")
    if status in _REFUSED:
        return [Finding("provider", "token", f"the provider refuses the token ({status})", _TOKEN)]
    found = [Finding("provider", "token")]
    if callbacks:
        status, _ = await _ask(http, "/v1/webhooks/default/secret")
        problem = "" if status == httpx.codes.OK else f"the secret of callbacks is not told ({status})"
        found.append(Finding("provider", "secret of callbacks", problem, problem and _TOKEN))
    if destination:
        found.append(_destination(destination, *await _ask(http, f"/v1/models/{destination}")))
    if version:
        status, _ = await _ask(http, f"/v1/models/{trainer}/versions/{version}")
        problem = "" if status == httpx.codes.OK else f"{trainer} has no version {version} ({status})"
        fix = "Set LIFEMASK_REPLICATE_TRAINER and LIFEMASK_REPLICATE_TRAINER_VERSION to one that exists."
        found.append(Finding("provider", "trainer's version", problem, problem and fix))
    return found


def _destination(name: str, status: int, body: Mapping[str, Any]) -> Finding:
    what = f"destination {name}"
    if status != httpx.codes.OK:
        fix = "Set LIFEMASK_REPLICATE_DESTINATION to a model of your account; the trainer makes it when it starts."
        return Finding("provider", what, f"the destination {name} does not exist or is not ours ({status})", fix)
    if body.get("visibility") != "private":
        return Finding(
            "provider", what, f"the destination {name} is public: everybody sees the models", "Make it private."
        )
    return Finding("provider", what)


def hub_probe(token: str, endpoint: str | None, namespace: str) -> Probe:
    """The hub's account: whether the token may write in `namespace`."""
    away = "Look at HF_ENDPOINT, and at the hub's status page."

    async def act() -> Sequence[Finding]:
        async with _client(endpoint or "https://huggingface.co", token) as http:
            try:
                status, body = await _ask(http, "/api/whoami-v2")
            except _Away as problem:
                return [Finding("hub", "answers", f"the hub does not answer: {problem}", away)]
        return [_hub(status, body, namespace)]

    return Probe("hub", act, away)


def _hub(status: int, body: Mapping[str, Any], namespace: str) -> Finding:
    what = f"write in {namespace}"
    fix = f"Set HF_TOKEN to a token with the right to write in {namespace}."
    if status != httpx.codes.OK:
        return Finding("hub", what, f"the hub refuses the token ({status})", fix)
    orgs = {str(org.get("name")): org for org in body.get("orgs") or ()}
    if namespace != body.get("name") and namespace not in orgs:
        problem = f"the token belongs to {body.get('name')}, who is not in {namespace}"
        return Finding("hub", what, problem, f"Set LIFEMASK_HF_NAMESPACE to {body.get('name')}, or another HF_TOKEN.")
    token = (body.get("auth") or {}).get("accessToken") or {}
    if not _may_write(token, namespace) or orgs.get(namespace, {}).get("roleInOrg") == "read":
        return Finding("hub", what, f"the token may read only ({token.get('role')})", fix)
    return Finding("hub", what)


def _may_write(token: Mapping[str, Any], namespace: str) -> bool:
    if token.get("role") != "fineGrained":
        return token.get("role") in {"write", "admin"}
    scoped = (token.get("fineGrained") or {}).get("scoped") or ()
    return any(
        (scope.get("entity") or {}).get("name") == namespace and "repo.write" in (scope.get("permissions") or ())
        for scope in scoped
    )


def mail_probe(host: str, port: int, *, tls: bool, starttls: bool, login: tuple[str, str] | None) -> Probe:
    """The mail server greets, encrypts and logs us in; no mail is sent."""
    import aiosmtplib  # not every service has mail

    away = "Look at LIFEMASK_SMTP: smtp://host:port or smtps://user:password@host:port."

    async def act() -> Sequence[Finding]:
        server = aiosmtplib.SMTP(
            hostname=host, port=port, use_tls=tls, start_tls=True if starttls else None, timeout=_TIMEOUT
        )
        try:
            async with server:
                if login:
                    await server.login(*login)
        except aiosmtplib.SMTPAuthenticationError as problem:
            return [Finding("mail", "login", f"the mail server refuses the login ({problem.code})", away)]
        except (aiosmtplib.SMTPException, OSError) as problem:
            said = f"the mail server at {host}:{port} does not greet us: {type(problem).__name__}"
            return [Finding("mail", "greeting", said, away)]
        return [Finding("mail", "greeting, login" if login else "greeting")]

    return Probe("mail", act, away)


def address_probe(url: str) -> Probe:
    """Our own address as the provider must reach it: callbacks and archives."""
    away = "Set LIFEMASK_PUBLIC_URL to the address under which ingest is reached from outside, and start ingest."

    async def act() -> Sequence[Finding]:
        what = f"address {url}"
        async with _client(url, "") as http:
            try:
                status, body = await _ask(http, "/healthz")
            except _Away as problem:
                return [Finding("address", what, f"nobody answers at LIFEMASK_PUBLIC_URL, {url}: {problem}", away)]
        if status != httpx.codes.OK or body.get("service") != "ingest":
            return [Finding("address", what, f"not ingest answers at LIFEMASK_PUBLIC_URL, {url} ({status})", away)]
        return [Finding("address", what)]

    return Probe("address", act, away)


def _client(url: str, token: str) -> httpx.AsyncClient:
    """Follows no redirect: the token goes nowhere else."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT)


async def _ask(http: httpx.AsyncClient, path: str) -> tuple[int, Mapping[str, Any]]:
    """Status and body of an answer. Raises _Away."""
    try:
        answer = await http.get(path)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise _Away(type(problem).__name__) from None
    if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _Away(f"status {answer.status_code}")
    try:
        body = answer.json()
    except ValueError:
        body = {}
    return answer.status_code, body if isinstance(body, dict) else {}
