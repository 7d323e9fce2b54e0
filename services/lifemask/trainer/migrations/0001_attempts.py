"""Attempts at paid trainings, and every training the provider was found to hold for one."""

from alembic import op

from lifemask.bus.tables import protect

revision = "trainer_0001"
down_revision = None
branch_labels = ("trainer",)
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table attempt (
            user_id text not null,
            run_id text not null,
            number int not null check (number >= 1),
            state text not null check (state in (
                'intended', 'creating', 'unknown', 'running', 'succeeded', 'failed', 'canceled', 'abandoned'
            )),
            stop boolean not null default false,
            trainer text not null,
            dataset text not null,
            statement text,
            archive_key text not null,
            archive_url text not null,
            url_expires_at timestamptz not null,
            gateway boolean not null,
            steps int not null,
            lora_rank int not null,
            learning_rate text not null,
            estimated_cost_usd numeric(12, 4) not null,
            training text,
            version text,
            percent int not null default 0,
            fetches int not null default 0,
            fetches_closed boolean not null default false,
            photos int not null,
            archive_bytes bigint not null,
            seen_at timestamptz not null,
            doubted_at timestamptz,
            copy_failures int not null default 0,
            clean_listings int not null default 0,
            clean_since timestamptz,
            asked boolean not null default false,
            intended_at timestamptz not null default now(),
            started_at timestamptz,
            ended_at timestamptz,
            forgotten_at timestamptz,
            changed_at timestamptz not null default now(),
            primary key (user_id, run_id, number),
            unique (user_id, archive_url)
        )
    """)
    protect("attempt")
    op.execute("""
        create table provider_training (
            user_id text not null,
            training text not null,
            run_id text not null,
            attempt int not null,
            found_at timestamptz not null default now(),
            ended_as text,
            seconds numeric(14, 6),
            cost_usd numeric(12, 4),
            booked_at timestamptz,
            primary key (user_id, training),
            foreign key (user_id, run_id, attempt) references attempt (user_id, run_id, number),
            check ((booked_at is null) = (cost_usd is null))
        )
    """)
    op.execute("create index provider_training_attempt on provider_training (user_id, run_id, attempt)")
    protect("provider_training")
