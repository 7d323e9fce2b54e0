"""What `up` prints once everything is ready: each address and key, and what is embedded."""

from lifemask.cli.machine import Machine


def address_rows(machine: Machine) -> dict[str, str]:
    """Names and values, in the order of what a person needs first."""
    parts = machine.parts
    rows = {
        "API": machine.url,
        "app": machine.app or "(from LIFEMASK_APPS)",
        "app key": machine.app_key or "(set LIFEMASK_APP_KEY for the commands here)",
        **{name: f"{url}/readyz" for name, url in machine.services.items()},
        "Kafka": machine.kafka + _embedded(here=parts.kafka, more=", in memory, filled again at each start"),
        "PostgreSQL": machine.postgres + _embedded(here=parts.postgres),
        "objects": machine.objects + _embedded(here=parts.objects),
    }
    for name, here in (("replicate", parts.provider), ("hub", parts.hub), ("smtp", parts.mail)):
        rows[name] = f"{machine.sandbox[name]}  (sandbox)" if here else "the real one"
    if machine.sandbox:
        rows |= {name: machine.sandbox[name] for name in ("ledger", "mails", "faults")}
    return rows | {"data": str(machine.data), "logs": str(machine.data / "logs")}


def _embedded(*, here: bool, more: str = "") -> str:
    return f"  (embedded{more})" if here else ""
