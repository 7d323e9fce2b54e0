"""The bus's own tables, one set in the schema of each service, and the protection of domain tables.

The bus's tables see all users; domain tables are under forced row-level security. Written as plain SQL: these
statements are the design, and the tried forms of them are what survived the chaos runs.
"""

from alembic import op

BUS = """
create table inbox (
    seq bigint generated always as identity primary key,
    msg_id text not null unique,
    lane text not null,
    user_id text,
    run_id text,
    type text not null,
    topic text not null,
    value bytea not null,
    headers jsonb not null,
    attempts int not null default 0,
    claims int not null default 0,
    replays int not null default 0,
    error jsonb,
    got_at timestamptz not null default now(),
    done_at timestamptz,
    dead_at timestamptz
);
create index inbox_todo on inbox (lane, seq) where done_at is null and dead_at is null;
create index inbox_done on inbox (done_at) where done_at is not null;
create index inbox_dead on inbox (seq) where dead_at is not null and done_at is null;

create table lane (
    lane text primary key,
    todo int not null,
    ready_at timestamptz not null default now(),
    epoch bigint not null default 0
) with (fillfactor = 70);
create index lane_ready on lane (ready_at) where todo > 0;

create table reminder (
    id text primary key,
    lane text not null,
    user_id text not null,
    run_id text,
    type text not null,
    due_at timestamptz not null,
    value bytea not null,
    headers jsonb not null
);
create index reminder_due on reminder (due_at);

create table outbox (
    id bigint generated always as identity primary key,
    msg_id text not null unique,
    topic text not null,
    key text not null,
    value bytea not null,
    headers jsonb not null,
    created_at timestamptz not null default now(),
    sent_at timestamptz
);
create index outbox_unsent on outbox (id) where sent_at is null;
create index outbox_sent on outbox (sent_at) where sent_at is not null;

create table baton (
    user_id text not null,
    run_id text not null,
    brought_by text,
    headers jsonb not null default '{}',
    taken_at timestamptz,
    deadline_at timestamptz,
    cancel_requested_at timestamptz,
    passed_at timestamptz,
    passed_as text,
    stalled_by text,
    needs text,
    primary key (user_id, run_id)
);
create index baton_needs on baton (taken_at) where needs is not null and passed_at is null;
create index baton_held on baton (deadline_at) where taken_at is not null and passed_at is null;
create index baton_asked on baton (cancel_requested_at)
    where taken_at is not null and passed_at is null and cancel_requested_at is not null;

create table operator_order (
    id text primary key,
    act text not null check (act in ('replay', 'discard', 'tell')),
    msg_id text not null,
    replays int not null default 0,
    user_id text,
    run_id text,
    type text,
    value bytea,
    ordered_by text not null,
    ordered_at timestamptz not null default now(),
    done_at timestamptz,
    outcome text
);
create index operator_order_open on operator_order (ordered_at) where done_at is null;

create table security (
    id bigint generated always as identity primary key,
    msg_id text not null unique,
    at timestamptz not null default now(),
    reason text not null,
    source text,
    type text not null,
    user_id text,
    run_id text,
    topic text,
    value bytea,
    headers jsonb,
    times int not null default 1,
    reported_at timestamptz
);
create index security_at on security (at);
create index security_unreported on security (id) where reported_at is null;
create index security_reported on security (reported_at) where reported_at is not null;

create table keyring (
    one boolean primary key default true check (one),
    root text not null,
    version bigint not null
);

create table broker (
    one boolean primary key default true check (one),
    id text not null
);
"""


def create_bus() -> None:
    """Creates the bus's tables in the schema of the search path."""
    run(BUS)


def run(statements: str) -> None:
    """Executes statements separated by semicolons, one by one, as asyncpg prepares them."""
    for statement in statements.split(";"):
        if statement.strip():
            op.execute(statement)


def protect(table: str) -> None:
    """Puts a domain table under forced row-level security: only rows of the transaction's `lifemask.user` exist.

    `nullif` because after a transaction the setting is '' and not NULL; the check because a row of user '' must not be.
    """
    mine = "user_id = nullif(current_setting('lifemask.user', true), '')"
    op.execute(f"alter table {table} add check (user_id <> '')")
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(f"create policy own_rows on {table} using ({mine}) with check ({mine})")
