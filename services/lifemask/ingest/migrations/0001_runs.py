"""Runs, their photos, their visible changes; models; idempotency keys; disposals."""

from alembic import op

from lifemask.bus.tables import protect

revision = "ingest_0001"
down_revision = None
branch_labels = ("ingest",)
depends_on = None

TABLES = {
    "run": """
        create table run (
            user_id text not null,
            run_id text not null,
            request text not null,
            created_at timestamptz not null default now(),
            submitted_at timestamptz,
            facts jsonb not null default '{}',
            seq int not null default 0,
            over boolean not null default false,
            upload text,
            objects text[] not null default '{}',
            content text,
            restarted_from text,
            restarted_as text,
            submits boolean not null default false,
            primary key (user_id, run_id),
            foreign key (user_id, restarted_from) references run (user_id, run_id),
            foreign key (user_id, restarted_as) references run (user_id, run_id)
        )
    """,
    "photo": """
        create table photo (
            user_id text not null,
            run_id text not null,
            photo_id text not null,
            place bigint generated always as identity,
            sha256 text not null,
            bytes bigint not null check (bytes > 0),
            media_type text not null,
            received_at timestamptz not null default now(),
            removed_at timestamptz,
            usable boolean,
            verdicts text[] not null default '{}',
            similar_to text,
            decided boolean not null default false,
            door text not null default 'http',
            here boolean not null default true,
            primary key (user_id, run_id, photo_id),
            foreign key (user_id, run_id) references run (user_id, run_id) on delete cascade
        )
    """,
    "slot": """
        create table slot (
            user_id text not null,
            run_id text not null,
            photo_id text not null,
            sha256 text not null,
            bytes bigint not null,
            media_type text not null,
            expires_at timestamptz not null,
            done_at timestamptz,
            primary key (user_id, run_id, photo_id),
            foreign key (user_id, run_id) references run (user_id, run_id) on delete cascade
        )
    """,
    "change": """
        create table change (
            user_id text not null,
            run_id text not null,
            seq int not null,
            kind text not null,
            data text not null,
            terminal boolean not null default false,
            at timestamptz not null default now(),
            primary key (user_id, run_id, seq),
            foreign key (user_id, run_id) references run (user_id, run_id) on delete cascade
        )
    """,
    "model": """
        create table model (
            user_id text not null,
            model_id text not null,
            run_id text not null,
            version text not null,
            store_key text not null,
            weights text not null,
            bytes bigint not null,
            hub_repo text,
            hub_commit text,
            ready_at timestamptz not null default now(),
            revoked_at timestamptz,
            revoked text,
            primary key (user_id, model_id)
        )
    """,
    "idempotency": """
        create table idempotency (
            user_id text not null,
            key text not null,
            run_id text not null,
            digest text not null,
            created_at timestamptz not null default now(),
            primary key (user_id, key),
            foreign key (user_id, run_id) references run (user_id, run_id) on delete cascade
        )
    """,
    "disposal": """
        create table disposal (
            user_id text not null,
            run_id text not null,
            number bigint generated always as identity,
            what text not null,
            objects int not null,
            bytes bigint not null,
            result text not null check (result in ('deleted', 'denied')),
            at timestamptz not null default now(),
            primary key (user_id, run_id, number)
        )
    """,
}

INDEXES = (
    "create unique index run_upload on run (user_id, upload) where upload is not null",
    "create unique index run_restarted on run (user_id, restarted_from) where restarted_from is not null",
    "create unique index photo_once on photo (user_id, run_id, sha256) where removed_at is null",
    "create index run_active on run (user_id) where submitted_at is not null and not over",
)


def upgrade() -> None:
    for name, statement in TABLES.items():
        op.execute(statement)
        protect(name)
    for statement in INDEXES:
        op.execute(statement)
