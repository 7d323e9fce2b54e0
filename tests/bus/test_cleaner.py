"""Old rows go when nobody needs them any more, and only then."""

import pytest

from lifemask.bus.rows import Pool
from lifemask.bus.timer import Cleaner

_ROWS = {
    "inbox": """insert into inbox (msg_id, lane, type, topic, value, headers, done_at)
                values ($1, 'u', 't', 't', '', '{}', $2)""",
    "outbox": "insert into outbox (msg_id, topic, key, value, headers, sent_at) values ($1, 't', 'u', '', '{}', $2)",
    "security": "insert into security (msg_id, reason, type, reported_at) values ($1, 'unsigned', 't', $2)",
}


@pytest.mark.parametrize("table", _ROWS)
async def test_what_is_past_its_retention_goes(pool: Pool, table: str) -> None:
    old, fresh = await pool.fetchrow("select now() - interval '8 days', now() - interval '6 days'") or (None, None)
    for name, at in (("old", old), ("fresh", fresh), ("to do", None)):
        await pool.execute(_ROWS[table], name, at)
    await Cleaner(pool, 0, 0, 0).step()
    assert await pool.fetchval(f"select count(*) from {table}") == 3
    await Cleaner(pool, 7, 7, 7).step()
    kept = await pool.fetch(f"select msg_id from {table} order by 1")
    assert [row["msg_id"] for row in kept] == ["fresh", "to do"]
