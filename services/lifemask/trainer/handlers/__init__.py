"""A sealed dataset becomes weights. The table says who handles what; each handler is in the file of its part."""

from lifemask.bus.outcomes import on
from lifemask.contracts import ArchiveFetched, DatasetSealed, ModelRevoked, TrainingCallbackReceived
from lifemask.trainer.handlers.fetching import hear_fetch
from lifemask.trainer.handlers.forgetting import forget, hear_revocation
from lifemask.trainer.handlers.looking import hear_callback, look
from lifemask.trainer.handlers.messages import AbandonOrdered, AdoptOrdered, Forget, Look, Reconcile, Watch
from lifemask.trainer.handlers.settling import abandon_ordered, adopt_ordered, reconcile
from lifemask.trainer.handlers.starting import start_training
from lifemask.trainer.handlers.watching import stop_run, watch

__all__ = ["HANDLERS", "stop_run"]

HANDLERS = (
    on(DatasetSealed, start_training, brings="run"),
    on(TrainingCallbackReceived, hear_callback),
    on(ArchiveFetched, hear_fetch),
    on(Look, look),
    on(Reconcile, reconcile),
    on(AdoptOrdered, adopt_ordered),
    on(AbandonOrdered, abandon_ordered),
    on(Watch, watch),
    on(ModelRevoked, hear_revocation),
    on(Forget, forget),
)
