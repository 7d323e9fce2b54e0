"""What the attempts' changes mean for an operator: asked, answered, or not needed any more."""

from lifemask.bus.asking import answer, ask, settle
from lifemask.bus.rows import Connection
from lifemask.trainer.adapters.postgres import write_row
from lifemask.trainer.domain.attempt import Adopt, Answered, Ask, Intend


async def write_and_ask(connection: Connection, row: object) -> None:
    """The trainer's writer: stores a change, and what an operator should see of it."""
    if isinstance(row, Answered):
        return await answer(connection, row.order, row.outcome)
    await write_row(connection, row)
    match row:
        case Ask(id=mine, why=why):
            await ask(connection, mine.user_id, mine.run_id, why)
        case Adopt(id=mine) | Intend(id=mine):
            await settle(connection, mine.user_id, mine.run_id)
        case _:
            pass
    return None
