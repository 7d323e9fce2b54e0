"""What a run costs in ingest when 100 and when 100,000 runs are stored, in two databases of one server.

    python -m bench.stored

Both sides take turns in one process. A run is played from the draft to the model: calls of the API with 2 photos, all
facts through intake, lanes and finish, and the views. The stored runs are copies of such runs with everything they left
behind (inbox, outbox, lanes, batons, changes). First with plans that the database made while its tables were as good as
empty, then with fresh statistics. CPU is that of the database's processes, from the kernel. Goal: at most 1.1 times.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.play import APP, Stage, ingest_on
from bench.row import Row, measure

from lifemask.cli.embedded.postgres import running_postgres

FEW: Final = 100
MANY: Final = 100_000
MODEL: Final = f"{APP}.model"
"""The user whose run is copied."""
RUNS_OF_A_USER: Final = 5
ROUNDS: Final = 25
WARM: Final = 8
"""Runs after which the database keeps a plan for each statement (it does after five executions)."""
GOAL: Final = 1.1
TABLES: Final = ("run", "photo", "change", "model", "idempotency", "disposal", "inbox", "outbox", "baton", "reminder")


@dataclass
class Side:
    """One of the two databases, and what runs cost there."""

    stage: Stage
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def play(self, number: int) -> None:
        before, began = await self._database_cpu(), time.perf_counter()
        await self.stage.run(f"player-{number}")
        self.seconds.append(time.perf_counter() - began)
        self.cpu.append(await self._database_cpu() - before)

    async def _database_cpu(self) -> float:
        """Seconds that the processes of the service's connections have used."""
        pids = await self.stage.admin.fetch(
            "select pid from pg_stat_activity where datname = current_database() and usename <> current_user"
        )
        return sum(_cpu_of(row["pid"]) for row in pids)


def _cpu_of(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def fill(stage: Stage, runs: int) -> None:
    """Copies the one run of MODEL so many times, for a fifth as many users."""
    admin = stage.admin
    users = runs // RUNS_OF_A_USER
    await admin.execute("delete from reminder where due_at < now() + interval '1 hour'")
    await admin.execute("set session_replication_role = replica")  # the copies are as whole as the original
    for table in TABLES:
        columns = await admin.fetch(
            """select attname from pg_attribute where attrelid = $1::regclass
               and attnum > 0 and not attisdropped and attidentity = ''""",
            table,
        )
        names = [row["attname"] for row in columns]
        values = ", ".join(_copied(table, name, users) for name in names)
        await admin.execute(
            f"""insert into {table} ({", ".join(names)}) select {values}
                from generate_series(1, {runs}) as g cross join {table} t
                where {"key" if table == "outbox" else "user_id"} = '{MODEL}'""",
            timeout=300,
        )
    await admin.execute(f"insert into lane (lane, todo) select '{APP}.u' || g, 0 from generate_series(0, {users}) as g")
    await admin.execute("set session_replication_role = origin")


def _copied(table: str, column: str, users: int) -> str:
    """What stands in a copy's column, as SQL: `g` is the number of the copy, `t` the original's row."""
    user = f"'{APP}.u' || g % {users}"
    run = "lpad(to_hex(g), 8, '0') || '-0000-7000-8000-000000000000'"
    match table, column:
        case (_, "user_id") | ("outbox", "key"):
            return user
        case (_, "run_id" | "model_id"):
            return f"case when t.{column} is not null then {run} end"
        case (_, "msg_id") | ("idempotency", "key") | ("reminder", "id"):
            return f"t.{column} || '/' || g"
        case (_, "lane"):
            return f"replace(t.lane, '{MODEL}', {user})"
        case _:
            return f"t.{column}"


async def compare(few: Side, many: Side, first: int) -> dict[str, tuple[float, float]]:
    """Medians of both sides (seconds, CPU seconds of the database), from runs in turn."""
    for side in (few, many):
        side.seconds.clear()
        side.cpu.clear()
    for number in range(first, first + ROUNDS):
        for side in (few, many) if number % 2 else (many, few):
            await side.play(number)
    return {
        "run": (statistics.median(few.seconds), statistics.median(many.seconds)),
        "CPU of the database": (statistics.median(few.cpu), statistics.median(many.cpu)),
    }


async def main() -> list[Row]:
    """Milliseconds of a run on both sides, with old plans and with fresh ones."""
    found = dict[str, dict[str, tuple[float, float]]]()
    with tempfile.TemporaryDirectory(prefix="lm-bench-") as folder:
        home = Path(folder)
        async with (
            running_postgres(home / "pg", fsync=False) as admin,
            ingest_on(admin, "few", home / "few") as one,
            ingest_on(admin, "many", home / "many") as other,
        ):
            await one.admin.execute("alter system set autovacuum = off")  # it would mend old plans within a minute
            await one.admin.execute("select pg_reload_conf()")
            few, many = Side(one), Side(other)
            for side, runs in ((few, FEW), (many, MANY)):
                await side.stage.run(MODEL.partition(".")[2])
                await side.stage.admin.execute("analyze")  # what the planner knows: next to nothing is stored
                for number in range(WARM):
                    await side.play(-number)
                await fill(side.stage, runs)
            found["plans made while it was empty"] = await compare(few, many, 1)
            for side in (few, many):
                await side.stage.admin.execute("vacuum analyze", timeout=120)
            found["fresh statistics"] = await compare(few, many, 1 + ROUNDS)
            size = await other.admin.fetchval("select pg_database_size(current_database()) / 1000000")
    return [
        Row(
            what=f"{what}, {MANY:,} runs stored, {when}",
            measured=round(after * 1000, 1),
            unit="ms",
            floor=round(before * 1000, 1),
            against=f"{FEW} runs stored",
            most=GOAL,
            facts={"stored_mb": size},
        )
        for when, both in found.items()
        for what, (before, after) in both.items()
    ]


if __name__ == "__main__":
    measure(main)
