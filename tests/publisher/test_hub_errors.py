"""How long the hub asks us to wait."""

import httpx2
import pytest

from lifemask.publisher.adapters.hub_errors import asked_delay


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": " 5 "}, 5.0),
        ({"retry-after": "999999"}, 3600.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=0'}, None),
    ],
)
def test_the_delay_is_read_from_the_hubs_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_delay(httpx2.Headers(headers)) == seconds
