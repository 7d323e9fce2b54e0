"""Photos as they were judged, and the runs that are decided."""

from alembic import op

from lifemask.bus.tables import protect

revision = "image_validator_0001"
down_revision = None
branch_labels = ("image_validator",)
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table photo (
            user_id text not null,
            run_id text not null,
            photo_id text not null,
            place int not null,
            measured jsonb not null,
            faults text[] not null,
            original text,
            policy text,
            encoder text,
            likeness bytea,
            clean text,
            clean_bytes bigint,
            similar_to text,
            bound boolean not null,
            told boolean not null,
            removed boolean not null,
            code bytea not null,
            judged_at timestamptz not null default now(),
            primary key (user_id, run_id, photo_id),
            foreign key (user_id, run_id, similar_to) references photo (user_id, run_id, photo_id)
                deferrable initially deferred
        )
    """)
    protect("photo")
    op.execute("""
        create table decided (
            user_id text not null,
            run_id text not null,
            decided_at timestamptz not null default now(),
            primary key (user_id, run_id)
        )
    """)
    protect("decided")
