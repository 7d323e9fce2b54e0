"""What operators' commands share: the database of the services, and orders that a service carries out."""

import asyncio
import getpass
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from lifemask.cli.installation import Installation
from lifemask.cli.stops import Failed, Missing

if TYPE_CHECKING:
    from lifemask.bus.rows import Connection

Wait = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for the service to carry it out; it is kept anyway.")
]
WAIT: Final = 15.0
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this only say what would be done.")]
_LOOK_SECONDS: Final = 0.1

T = TypeVar("T")


@asynccontextmanager
async def operators_database(installation: Installation) -> AsyncIterator["Connection"]:
    """A connection as the account that migrates. Raises Missing."""
    import asyncpg

    try:
        connection = await asyncpg.connect(installation.database(), timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise Missing(f"PostgreSQL does not answer: {reason}", "Check LIFEMASK_POSTGRES, or --data.") from None
    try:
        yield connection
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError):
        raise Missing("The database is not of this version.", "Run `lifemask migrate`.") from None
    except asyncpg.InsufficientPrivilegeError:
        raise Missing(
            "This account may not read or order that.", "Use the account of `lifemask migrate` in LIFEMASK_POSTGRES."
        ) from None
    finally:
        await connection.close()


def operator_name() -> str:
    """Who gives the order, as it is kept with it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return "unknown"


async def carried_out(connection: "Connection", service: str, names: Sequence[str], seconds: float) -> dict[str, str]:
    """What became of the orders. Raises Missing when the service does not carry them out in time."""
    from lifemask.bus.ordering import outcomes

    async def all_done() -> dict[str, str] | None:
        done = await outcomes(connection, service, names)
        return done if len(done) == len(set(names)) else None

    return await awaited(all_done, service, seconds)


async def answered(connection: "Connection", service: str, order: str, seconds: float) -> str:
    """What the service's handler answered to a told message. Raises Missing when it does not in time."""
    from lifemask.bus.ordering import Done, is_handled, outcomes

    async def answer() -> str | None:
        handled = await is_handled(connection, service, order)
        outcome = (await outcomes(connection, service, [order])).get(order)
        if outcome not in {None, Done.TOLD}:
            return outcome
        if handled is None:
            raise Failed(f"{service} gave up on the order.", "Look at it: lifemask dead-letters list")
        return "refused: the run is over" if handled else None

    return await awaited(answer, service, seconds)


async def awaited(look: Callable[[], Awaitable[T | None]], service: str, seconds: float) -> T:
    """What `look` finds in the end. Raises Missing when that is nothing for so long."""
    until = time.monotonic() + seconds
    while (found := await look()) is None:
        if time.monotonic() >= until:
            raise Missing(
                f"{service} did not carry out the order within {seconds:g} s.",
                f"The order is kept: {service} carries it out as soon as it runs.",
            )
        await asyncio.sleep(_LOOK_SECONDS)
    return found
