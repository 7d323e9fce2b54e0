"""What a service declares to need at the store is what its policy gives: no more is tried, and nothing is left out."""

import importlib
import json
from pathlib import Path

import pytest

from lifemask.bus.roles import SERVICES, schema_of

POLICIES = Path(__file__).parents[2] / "deploy" / "s3"
BUCKET = "arn:aws:s3:::lifemask"


@pytest.mark.parametrize("service", SERVICES)
def test_needs_and_policy_say_the_same(service: str) -> None:
    needs = importlib.import_module(f"lifemask.{schema_of(service)}.needs").NEEDS
    assert needs.service == service
    declared = {(f"s3:{action}", f"{BUCKET}/{grant.resource}") for grant in needs.grants for action in grant.actions}
    policy = json.loads((POLICIES / f"{service}.json").read_text())
    given = {(action, place) for each in policy["Statement"] for action in each["Action"] for place in each["Resource"]}
    assert given == declared | {("s3:ListBucket", BUCKET)}
