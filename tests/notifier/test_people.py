"""What a person told us, and what must not become an address."""

import pytest
from tests.notifier.world import RUN, USER

from lifemask.contracts import RunRequest
from lifemask.notifier.adapters.people import StoredPeople, address_in
from lifemask.notifier.letter import Called
from lifemask.objects import keys
from lifemask.testkit.objects import InMemoryObjects


async def test_address_and_names_come_from_the_users_part_of_the_store() -> None:
    objects = InMemoryObjects()
    await objects.put(keys.contact(USER), b'{"email": "anna@example.com"}')
    request = RunRequest(name="My portrait", trigger_word="ANNA")
    await objects.put(keys.request(USER, RUN), request.model_dump_json().encode())
    people = StoredPeople(objects)
    assert await people.address(USER) == "anna@example.com"
    assert await people.called(USER, RUN) == Called("My portrait", "ANNA")


async def test_what_is_not_there_is_not_known() -> None:
    people = StoredPeople(InMemoryObjects())
    assert await people.address(USER) is None
    assert await people.called(USER, RUN) == Called()


async def test_a_request_that_cannot_be_read_is_not_known() -> None:
    objects = InMemoryObjects()
    await objects.put(keys.request(USER, RUN), b"{")
    await objects.put(keys.contact(USER), b'{"email": "' + b"a" * 5000 + b'@example.com"}')
    people = StoredPeople(objects)
    assert await people.called(USER, RUN) == Called()
    assert await people.address(USER) is None


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (b'{"email": "anna@example.com"}', "anna@example.com"),
        (b'{"email": "anna+models@mail.example.com", "more": 1}', "anna+models@mail.example.com"),
        (b'{"email": "anna"}', None),
        (b'{"email": "anna@"}', None),
        (b'{"email": "@example.com"}', None),
        (b'{"email": ""}', None),
        (b'{"email": null}', None),
        (b'{"email": ["anna@example.com"]}', None),
        (b'{"email": "a@example.com, b@example.com"}', None),
        (b'{"email": "a@example.com\\r\\nBcc: b@example.com"}', None),
        (b'{"email": "a@example.com\\u0000"}', None),
        (b'{"email": "Anna <a@example.com>"}', None),
        (b'{"email": "a b@example.com"}', None),
        (b'["anna@example.com"]', None),
        (b"null", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_only_one_plain_address_is_one(body: bytes, address: str | None) -> None:
    assert address_in(body) == address
