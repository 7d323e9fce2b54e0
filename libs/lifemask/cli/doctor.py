"""`lifemask doctor`: every call that the services make outside, tried once on their own rights, with what to do."""

import asyncio
import os
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code
from lifemask.cli.whereabouts import DATA, DataOption
from lifemask.runtime.checkup import PATIENCE, Finding, examine

if TYPE_CHECKING:
    from lifemask.cli.patients import Patient

Services = Annotated[
    list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Which services; all by default.", show_default=False)
]

Patience = Annotated[float, typer.Option("--patience", min=0.1, help="Seconds for each part; all are tried at once.")]


def doctor(
    services: Services = None,
    *,
    patience: Patience = PATIENCE,
    data: DataOption = DATA,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Try every call that the services make outside. Exit code 0 when all work, 1 when any does not.

    Nothing is paid, published or left behind. Run it where the services run, with what they are started with.
    """

    async def work(out: Out) -> Code:
        from lifemask.cli.patients import environments, named, patient

        began = time.monotonic()
        wanted = named(services or [])
        patients = [patient(name, told) for name, told in environments(wanted, data, os.environ).items()]
        found = {each.service: list(each.findings) for each in patients}
        owners = [each.service for each in patients for _ in each.probes]
        for owner, findings in zip(owners, await _examined(patients, patience), strict=True):
            found[owner] += findings
        return _tell(out, found, time.monotonic() - began)

    perform(work, as_json=as_json, debug=debug)


async def _examined(patients: "list[Patient]", patience: float) -> list[list[Finding]]:
    return await asyncio.gather(*(examine([probe], patience) for each in patients for probe in each.probes))


def _tell(out: Out, found: dict[str, list[Finding]], seconds: float) -> Code:
    wrong = 0
    for service, findings in found.items():
        bad = [finding for finding in findings if not finding.ok]
        wrong += len(bad)
        parts = sorted({finding.part for finding in findings} - {finding.part for finding in bad})
        mark = "[red]✗[/]" if bad else "[green]✓[/]"
        out.show(f"{mark} [bold]{service}[/]  [dim]{', '.join(parts)} ok[/]")
        for finding in findings:
            out.fact(
                "finding",
                service=service,
                part=finding.part,
                what=finding.what,
                ok=finding.ok,
                problem=finding.problem,
                fix=finding.fix,
            )
            if not finding.ok:
                out.show(f"    [red]{finding.part}[/]: {escape(finding.problem)}")
                out.show(f"      [dim]{escape(finding.fix)}[/]")
    tried = sum(map(len, found.values()))
    out.fact("doctor", ok=not wrong, tried=tried, problems=wrong, seconds=round(seconds, 1))
    out.show(f"{tried} things tried in {seconds:.1f} s, {f'{wrong} do not work' if wrong else 'all work'}.")
    return Code.FAILED if wrong else Code.DONE
