"""Publications: what may lie in the model store and on the hub."""

from alembic import op

from lifemask.bus.tables import protect

revision = "publisher_0001"
down_revision = None
branch_labels = ("publisher",)
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table publication (
            user_id text not null,
            run_id text not null,
            model_id text not null,
            state text not null check (state in (
                'intended', 'published', 'withdrawing', 'withdrawn', 'revoking', 'revoked'
            )),
            place text not null default '',
            repo text,
            hub_commit text,
            revoked_because text,
            revoked_by text,
            intended_at timestamptz not null default now(),
            changed_at timestamptz not null default now(),
            primary key (user_id, run_id),
            unique (user_id, model_id),
            check ((state in ('revoking', 'revoked')) = (revoked_because is not null and revoked_by is not null))
        )
    """)
    protect("publication")
