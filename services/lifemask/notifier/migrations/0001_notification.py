"""Notifications: who was told what, over which channel."""

from alembic import op

from lifemask.bus.tables import protect

revision = "notifier_0001"
down_revision = None
branch_labels = ("notifier",)
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table notification (
            user_id text not null,
            id text not null,
            run_id text not null,
            outcome text not null,
            is_terminal boolean not null,
            channel text not null check (channel in ('email', 'webhook')),
            fact bytea not null,
            since timestamptz not null,
            state text not null default 'pending' check (state in ('pending', 'delivered', 'skipped', 'gave_up')),
            tries int not null default 0,
            tried_at timestamptz,
            settled_at timestamptz,
            why text,
            resent_at timestamptz,
            primary key (user_id, id)
        )
    """)
    op.execute("create index notification_run on notification (user_id, run_id) where is_terminal")
    protect("notification")
    op.execute("""
        create table report (
            user_id text not null,
            id text not null,
            fact bytea not null,
            got_at timestamptz not null,
            mailed_at timestamptz,
            primary key (user_id, id)
        )
    """)
    op.execute("create index report_waiting on report (user_id, got_at) where mailed_at is null")
    op.execute("create index report_mailed on report (user_id, mailed_at) where mailed_at is not null")
    protect("report")
