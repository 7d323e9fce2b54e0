"""What lies on the hub against the chain. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from lifemask.audit.acts import Acts
from lifemask.audit.case import Case, OnHub
from lifemask.audit.findings import Finding, State, broken, group
from lifemask.audit.links import Chained
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import PUBLICATION, STEPS
from lifemask.custody.verify import Place

FOLDER: Final = "custody/"
"""Where the statements lie in a repository."""
REVOKED: Final = "the model was revoked"


def judge_hub(case: Case, chained: Chained, acts: Acts) -> Iterator[Finding]:
    """Weights, card and statements of the repository that the publication names."""
    link = chained.link(PUBLICATION)
    repo = link.manifest.repo if link else None
    if link is None or repo is None:
        return
    if case.hub_why:
        yield Finding("weights on the hub", State.UNSEEN, why=case.hub_why, expected=link.subject)
    elif case.hub is None and acts.revoked:
        state, why = (State.UNSEEN, acts.revoked.doubt) if acts.revoked.doubt else (State.DISPOSED, REVOKED)
        yield Finding("weights on the hub", state, at=acts.revoked.at, why=why)
    elif case.hub is None:
        yield broken("weights on the hub", f"there is no repository {repo}, and nobody has revoked the model")
    elif acts.is_revoked:
        yield broken("repository", f"{repo} is there, although the model was revoked")
    else:
        yield from _repository(case, case.hub, weights=link.subject, card=link.manifest.card)


def _repository(case: Case, hub: OnHub, *, weights: str, card: str | None) -> Iterator[Finding]:
    if not hub.private:
        yield broken("repository", "it is public: everybody can make pictures of this person")
    yield _same("weights on the hub", weights, hub.weights)
    if hub.head_weights != weights:
        yield broken("weights on the hub, newest commit", "others than the published ones", weights, hub.head_weights)
    if card is not None:
        yield _same("model card", card, hub.card)
    yield group("statements on the hub", tuple(_statements(case, hub.statements)), "the signed files of the store")
    for path in hub.others:
        yield broken(f"{path} on the hub", "no statement explains this file")


def _same(name: str, expected: str, found: str | None) -> Finding:
    if found == expected:
        return Finding(name, State.REHASHED, found=found)
    return broken(name, "missing" if found is None else "the bytes are others than the signed ones", expected, found)


def _statements(case: Case, on_hub: Mapping[str, bytes]) -> Iterator[Finding]:
    place = Place(case.user, case.run, case.attempt)
    names = set[str]()
    for step in STEPS:
        key = place.statement(step)
        name = key.rpartition("/")[2]
        names.add(name)
        here, there = case.custody.get(key), on_hub.get(name)
        if here == there and isinstance(there, bytes):
            yield Finding(name, State.REHASHED, found=digest_of(there))
        else:
            expected = digest_of(here) if isinstance(here, bytes) else None
            why = "missing" if there is None else "another file than in the store"
            yield broken(name, why, expected, digest_of(there) if there is not None else None)
    for name in sorted(set(on_hub) - names):
        yield broken(name, "no statement of this chain", found=digest_of(on_hub[name]))
