"""Settings of the sandbox: everything a person may turn, with a safe default.

Read from the environment with the prefix `LIFEMASK_SANDBOX_`; the command line's flags win over it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SANDBOX_REPLICATE_TOKEN = "r8_sandbox_lifemask"  # noqa: S105 - opens nothing but the sandbox
SANDBOX_HUB_TOKEN = "hf_sandbox_lifemask"  # noqa: S105 - opens nothing but the sandbox

_REAL_TOKENS = (("REPLICATE_API_TOKEN", "r8_"), ("HF_TOKEN", "hf_"))
_EVERY_INTERFACE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound: such an address cannot be put into a URL


class RealTokenError(Exception):
    """A real token is in the environment: whoever started this meant the real service, or will send it the token."""


class SandboxSettings(BaseSettings):
    """Ports of 0 mean: the port used with this data directory last time when it is free, else any free one."""

    model_config = SettingsConfigDict(env_prefix="LIFEMASK_SANDBOX_", frozen=True, extra="forbid")

    data: Path = Field(description="directory that keeps trainings, repositories, mails and the ledger")
    host: str = Field("127.0.0.1", description="address to listen on")
    public_host: str = Field("", description="host name in the URLs that are handed out (default: the address)")
    files_host: str = Field("", description="host name of the file server; another one than the API's")
    port: int = Field(0, ge=0, le=65535, description="port of Replicate's API, /ledger, /faults and /mails")
    hub_port: int = Field(0, ge=0, le=65535, description="port of the Hugging Face Hub")
    files_port: int = Field(0, ge=0, le=65535, description="port of the file server (outputs and large files)")
    smtp_port: int = Field(0, ge=0, le=65535, description="port of the mail server")

    replicate_token: str = Field(SANDBOX_REPLICATE_TOKEN, description="the bearer token Replicate's API accepts")
    hub_token: str = Field(SANDBOX_HUB_TOKEN, description="the bearer token the hub accepts")
    hub_user: str = Field("lifemask", description="account the hub token belongs to")
    destination: str = Field("", description="owner/name of a destination model to create at start")
    trainer: str = Field("ostris/flux-dev-lora-trainer", description="owner/name of the trainer model")
    trainer_version: str = Field("", description="the only trainer version that exists (default: any well-formed one)")

    queue_seconds: float = Field(0.3, ge=0, description="seconds a training waits before it starts")
    training_seconds: float = Field(4.0, ge=0, description="seconds a training takes once it started")
    weight_bytes: int = Field(2_000_000, ge=10_000, description="size of the weights in bytes, a little less is made")
    archive_patience_seconds: float = Field(60, ge=0, description="seconds for which an archive's server may be away")
    retention_seconds: float = Field(3600, gt=0, description="seconds after its end that a training's output exists")
    webhook_retry_seconds: float = Field(60, ge=0, description="seconds for which a terminal webhook is retried")
    webhook_timeout_seconds: float = Field(10, gt=0, description="seconds a webhook's receiver may take to answer")
    page_size: int = Field(100, ge=1, description="trainings on one page of a listing; Replicate's has 100")
    link_seconds: float = Field(3600, gt=0, description="seconds a large-file link of the hub stays valid")

    max_archive_bytes: int = Field(3 * 10**9, gt=0, description="largest archive the trainer fetches, bytes")
    max_member_bytes: int = Field(10**8, gt=0, description="largest file inside an archive, bytes unpacked")
    max_members: int = Field(10_000, gt=0, description="most files inside an archive")
    max_pixels: int = Field(200_000_000, gt=0, description="most pixels of one training image")
    max_mail_bytes: int = Field(32 * 10**6, gt=0, description="largest mail, bytes")
    max_body_bytes: int = Field(50 * 10**6, gt=0, description="largest API request body, bytes (not large files)")

    @model_validator(mode="after")
    def _names_are_whole(self) -> Self:
        for name in filter(None, (self.destination, self.trainer)):
            if not re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", name):
                raise ValueError(f"{name!r} is not a model name; write owner/name")
        return self

    @property
    def api_host(self) -> str:
        """Host name of the API's URLs; an address that means 'every interface' cannot be dialled."""
        if self.public_host:
            return self.public_host
        return "127.0.0.1" if self.host in _EVERY_INTERFACE else self.host

    @property
    def outer_host(self) -> str:
        """Host name of the file server: clients must not carry tokens from the API over to it."""
        if self.files_host:
            return self.files_host
        return {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(self.api_host, self.api_host)


def refuse_real_tokens(environment: Mapping[str, str]) -> None:
    """Raises RealTokenError when a token of the real Replicate or Hugging Face Hub is set."""
    for name, prefix in _REAL_TOKENS:
        value = environment.get(name, "")
        if value.startswith(prefix) and not value.startswith(f"{prefix}sandbox"):
            raise RealTokenError(
                f"{name} holds a real token. The sandbox would get to see it, and what you start here is not the real "
                f"service. Unset {name}, or use a token that starts with {prefix}sandbox."
            )
