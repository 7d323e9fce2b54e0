"""The services by name, and what each one is called in PostgreSQL."""

from typing import Final

SERVICES: Final = ("ingest", "image-validator", "packager", "trainer", "publisher", "notifier")


def schema_of(service: str) -> str:
    """The PostgreSQL schema of a service: `image_validator` for `image-validator`."""
    return service.replace("-", "_")


SCHEMAS: Final = tuple(map(schema_of, SERVICES))
"""The services' schemas in PostgreSQL; their packages have the same names."""


def role_of(service: str) -> str:
    """The PostgreSQL role of a service."""
    return f"lifemask_{schema_of(service)}"
