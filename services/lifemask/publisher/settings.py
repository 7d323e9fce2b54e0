"""Settings of the publisher beside those that all services share."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from lifemask.runtime.settings import ServiceSettings


class PublisherSettings(ServiceSettings):
    """Where models are published. The hub's own variables keep their names."""

    hub_publish: bool = True
    """Whether models go to the hub as well; off, the model store alone has them."""
    hf_namespace: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,96}$")
    """The account or organisation that owns the repositories."""
    hub_prefix: str = Field(default="lora", pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,30}[A-Za-z0-9])?$")
    """What repository names begin with, before the model id."""
    hf_token: SecretStr = Field(default=SecretStr(""), validation_alias="HF_TOKEN")
    """A token that may write in the namespace."""
    hf_endpoint: str | None = Field(default=None, validation_alias="HF_ENDPOINT", pattern=r"^https?://[^/]+/?$")
    """Another hub than the real one."""
    hub_timeout: float = Field(default=60, gt=0)
    """Seconds that the hub may be silent while it is connected to, sent to or read from."""
    hub_threads: int = Field(default=4, ge=1, le=64)
    """Calls to the hub at once; the client blocks a thread for each."""

    @model_validator(mode="after")
    def _hub_is_whole(self) -> Self:
        if self.hub_publish and not self.hf_namespace:
            raise ValueError(
                "set LIFEMASK_HF_NAMESPACE to the account that owns the models on the hub, "
                "or LIFEMASK_HUB_PUBLISH=false to keep them in the model store alone"
            )
        return self
