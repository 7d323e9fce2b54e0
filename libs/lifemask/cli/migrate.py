"""`lifemask migrate`: schemas, roles, tables and topics, once per version; never done by a service at its start."""

import os
from typing import Annotated, Final

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Missing

Database = Annotated[bool, typer.Option("--database/--no-database", help="Schemas, roles and tables in PostgreSQL.")]
Topics = Annotated[bool, typer.Option("--topics/--no-topics", help="Topics in Kafka.")]
Partitions = Annotated[int | None, typer.Option("--partitions", min=1, help="Of topics that are made; default 64.")]
Replicas = Annotated[int, typer.Option("--replicas", min=1, help="Copies of topics that are made.")]

_PATIENCE_MS: Final = 30_000


def migrate(
    *,
    database: Database = True,
    topics: Topics = True,
    partitions: Partitions = None,
    replicas: Replicas = 1,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Bring database and topics to this version. Safe to repeat."""

    async def work(out: Out) -> Code:
        if database:
            await _migrate_database(out)
        if topics:
            await _make_topics(out, partitions, replicas)
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


async def _migrate_database(out: Out) -> None:
    from sqlalchemy.exc import DBAPIError

    from lifemask.bus.migrate import migrate as migrate_database

    dsn = os.environ.get("LIFEMASK_POSTGRES")
    if not dsn:
        raise Missing("I do not know where PostgreSQL is.", "Set LIFEMASK_POSTGRES to a DSN whose role may make roles.")
    try:
        await migrate_database(dsn)
    except (OSError, DBAPIError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]
        raise Missing(
            f"PostgreSQL does not take the migration: {reason}",
            "Check LIFEMASK_POSTGRES; its role must be allowed to make roles and schemas.",
        ) from None
    out.fact("migrated", what="database")
    out.show("PostgreSQL: schemas, roles and tables are of this version.")


async def _make_topics(out: Out, partitions: int | None, replicas: int) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.errors import KafkaError, for_code

    from lifemask.contracts import PARTITIONS, Topic

    brokers = os.environ.get("LIFEMASK_KAFKA")
    if not brokers:
        raise Missing("I do not know where Kafka is.", "Set LIFEMASK_KAFKA (host:port, …), or give --no-topics.")
    wanted = [topic.named(os.environ.get("LIFEMASK_TOPIC_PREFIX", "")) for topic in Topic]
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers.split(","), request_timeout_ms=_PATIENCE_MS)
    try:
        await admin.start()
        missing = [topic for topic in wanted if topic not in await admin.list_topics()]
        if missing:
            # Nothing is ever deleted from them: they are the audit trail.
            keep = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
            new = [NewTopic(topic, partitions or PARTITIONS, replicas, topic_configs=keep) for topic in missing]
            answer = await admin.create_topics(new)
            refused = {name: for_code(code).__name__ for name, code, *_ in answer.topic_errors if code not in {0, 36}}
            if refused:
                raise Missing(f"Kafka does not make these topics: {refused}.", "Check the rights and --replicas.")
    except (KafkaError, OSError) as error:
        raise Missing(
            f"Kafka at {brokers} does not answer ({type(error).__name__}).", "Check LIFEMASK_KAFKA."
        ) from None
    finally:
        await admin.close()
    out.fact("migrated", what="topics", made=missing)
    out.show(f"Kafka: {len(missing)} topics made, {len(wanted) - len(missing)} were there.")
