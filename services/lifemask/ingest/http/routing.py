"""How the API's routes are grouped."""

from fastapi import APIRouter


def routes(prefix: str, tag: str) -> APIRouter:
    """A group of routes below `prefix`, whose operations are named `<tag>_<function>`."""
    return APIRouter(prefix=prefix, tags=[tag], generate_unique_id_function=lambda route: f"{tag}_{route.name}")
