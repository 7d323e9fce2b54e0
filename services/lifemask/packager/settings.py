"""Settings of the packager beside those that all services share."""

from pydantic import Field

from lifemask.packager.domain import Minimum
from lifemask.runtime.settings import ServiceSettings


class PackagerSettings(ServiceSettings):
    """What an archive must hold, checked once more before it is sealed."""

    photos_min: int = Field(default=12, ge=1)
    """Images: the product's rule, which ingest and image-validator have checked before."""
    archive_bytes_min: int = Field(default=60_000, ge=1)
    """Bytes of all images: the product's rule; 12 photos below 5 KB each show nobody."""

    @property
    def minimum(self) -> Minimum:
        """The limits as the domain has them."""
        return Minimum(self.photos_min, self.archive_bytes_min)
