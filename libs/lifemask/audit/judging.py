"""From all that was found about a model to its report. Pure: online and offline audits differ in the case only."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Protocol

from lifemask.audit.acts import is_act, judge_acts
from lifemask.audit.case import Case
from lifemask.audit.events import judge_events
from lifemask.audit.findings import Finding, Report, broken, group
from lifemask.audit.holdings import judge_holdings
from lifemask.audit.hubside import judge_hub
from lifemask.audit.links import Chained, attempts_in, judge_earlier, judge_links
from lifemask.audit.rows import judge_rows
from lifemask.contracts.signing import BadSignature, EventKeys, unseal
from lifemask.custody.envelopes import PAYLOAD_TYPE, StepKeys
from lifemask.custody.statements import digest_of
from lifemask.custody.steps import PUBLICATION, STEPS, NoManifest
from lifemask.custody.verify import Place

OFFLINE: Final = "an audit of a bundle reads no store, hub, database or log"


class Trusted(StepKeys, EventKeys, Protocol):
    """A keyring."""


def judge(case: Case, trusted: Trusted) -> Report:
    """The whole audit. What could not be looked at is said, link by link."""
    acts = judge_acts(case, trusted)
    chained = judge_links(case, trusted, acts.witness(_last(case), PUBLICATION_SIGNER) or case.seen)
    holdings = judge_holdings(case, chained, acts)
    links = [_with(one.finding, holdings.by_step.get(one.step.name, ())) for one in chained.judged]
    links[-1] = _with(links[-1], (*_named(case, chained), *judge_hub(case, chained, acts)))
    findings: list[Finding] = [*links, *judge_earlier(case, trusted), *acts.findings]
    rows, events = judge_rows(case, chained, acts), judge_events(case, chained, trusted)
    findings += [
        group("rows", rows, f"{len(rows)} comparisons of the services' databases with the chain", empty=OFFLINE),
        group("events", events, f"{len(case.records or ())} records in outboxes, inboxes and the log", empty=OFFLINE),
    ]
    others = (*holdings.rest, *_strange_files(case))
    if others:
        findings.append(group("other objects", others))
    return Report(case.model, case.user, case.run, tuple(findings))


PUBLICATION_SIGNER: Final = "publisher"


def _last(case: Case) -> str:
    """The digest of the publication statement that lies there."""
    file = case.custody.get(Place(case.user, case.run, case.attempt).statement(PUBLICATION))
    try:
        return digest_of(unseal(file, PAYLOAD_TYPE).payload) if isinstance(file, bytes) else ""
    except BadSignature:
        return ""


def _with(finding: Finding, below: tuple[Finding, ...]) -> Finding:
    return replace(finding, below=(*finding.below, *below))


def _named(case: Case, chained: Chained) -> Iterator[Finding]:
    """The publication is of the model that was asked for."""
    link = chained.link(PUBLICATION)
    if link is not None and link.fields.model != case.model:
        yield broken("model", "the publication is of another model", case.model, link.fields.model)
    for user, run in case.others:
        yield broken("model", f"rows say that it is also of run {run} of {user}", case.run, run)


def _strange_files(case: Case) -> Iterator[Finding]:
    """Files in the custody folder that belong to no statement."""
    known = {Place(case.user, case.run).owner}
    for number in {1, *attempts_in(case.custody)}:
        place = Place(case.user, case.run, number)
        for step in STEPS:
            known |= {place.statement(step)} | ({place.manifest(step)} if step.manifest is not NoManifest else set())
    for key in sorted(case.custody):
        if key not in known and not is_act(key):
            yield broken(key.rpartition("/")[2], "no step of ours makes such a file in the custody folder")
