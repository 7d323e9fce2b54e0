"""The bus's tables."""

from lifemask.bus.tables import create_bus

revision = "bus_0001"
down_revision = None
branch_labels = ("bus",)
depends_on = None


def upgrade() -> None:
    create_bus()


def downgrade() -> None:
    raise RuntimeError("the audit trail is not downgraded: restore a backup instead")
