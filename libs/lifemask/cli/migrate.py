"""`lifemask migrate`: schemas, roles, tables and topics, once per version; never done by a service at its start."""

import os
from typing import Annotated

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, perform
from lifemask.cli.stops import Code, Failed, Missing
from lifemask.contracts import PARTITIONS

Database = Annotated[bool, typer.Option("--database/--no-database", help="Schemas, roles and tables in PostgreSQL.")]
Topics = Annotated[bool, typer.Option("--topics/--no-topics", help="Topics in Kafka.")]
Partitions = Annotated[
    int,
    typer.Option("--partitions", min=1, envvar="LIFEMASK_KAFKA_PARTITIONS", help="Of each topic; never changed later."),
]
Replicas = Annotated[
    int | None,
    typer.Option(
        "--replicas",
        min=1,
        envvar="LIFEMASK_KAFKA_REPLICATION",
        help="Copies of each topic; default 3 when the cluster shows at least 3 brokers, else 1.",
    ),
]


def migrate(
    *,
    database: Database = True,
    topics: Topics = True,
    partitions: Partitions = PARTITIONS,
    replicas: Replicas = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Bring database and topics to this version. Safe to repeat. Fails when a topic is not as it should be."""

    async def work(out: Out) -> Code:
        if database:
            await _migrate_database(out)
        if topics:
            await _prepare_topics(out, partitions, replicas)
        return Code.DONE

    perform(work, as_json=as_json, debug=debug)


async def _migrate_database(out: Out) -> None:
    from lifemask.bus.migrate import MigrationRefused
    from lifemask.bus.migrate import migrate as migrate_database
    from lifemask.bus.passwords import passwords_in
    from lifemask.bus.roles import SERVICES

    dsn = os.environ.get("LIFEMASK_POSTGRES")
    if not dsn:
        raise Missing("I do not know where PostgreSQL is.", "Set LIFEMASK_POSTGRES to a DSN whose role may make roles.")
    try:
        passwords = passwords_in(os.environ, SERVICES)
    except ValueError as error:
        raise Missing(f"A password cannot be used: {error}.", "Choose another one.") from None
    try:
        await migrate_database(dsn, passwords=passwords)
    except (OSError, MigrationRefused) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise Missing(
            f"PostgreSQL does not take the migration: {reason}",
            "Check LIFEMASK_POSTGRES; its role must be allowed to make roles and schemas.",
        ) from None
    out.fact("migrated", what="database")
    out.show("PostgreSQL: schemas, roles and tables are of this version.")


async def _prepare_topics(out: Out, partitions: int, replicas: int | None) -> None:
    from aiokafka.errors import KafkaError

    from lifemask.cli.topics import TopicsRefused, Wanted, prepare_topics

    brokers = os.environ.get("LIFEMASK_KAFKA")
    if not brokers:
        raise Missing("I do not know where Kafka is.", "Set LIFEMASK_KAFKA (host:port, …), or give --no-topics.")
    prefix = os.environ.get("LIFEMASK_TOPIC_PREFIX", "")
    try:
        found = await prepare_topics(brokers.split(","), prefix, Wanted(partitions, replicas))
    except TopicsRefused as refused:
        raise Missing(f"{refused}.", "Check the rights, and LIFEMASK_KAFKA_REPLICATION.") from None
    except (KafkaError, OSError) as error:
        raise Missing(
            f"Kafka at {brokers} does not answer ({type(error).__name__}).", "Check LIFEMASK_KAFKA."
        ) from None
    facts = {"copies": found.copies, "brokers": found.brokers, "differing": found.differing}
    out.fact("migrated", what="topics", made=found.made, **facts)
    out.show(f"Kafka: {len(found.made)} topics made, {len(found.there)} were there; {found.copies} copies of each.")
    if found.differing:
        listed = "; ".join(f"{name}: {', '.join(problems)}" for name, problems in found.differing.items())
        raise Failed(
            f"Topics that are not as they should be: {listed}.",
            "Nothing was changed. Mend them with kafka-configs, or say with LIFEMASK_KAFKA_PARTITIONS and "
            "LIFEMASK_KAFKA_REPLICATION that they are meant so; --no-topics leaves them out.",
        )
