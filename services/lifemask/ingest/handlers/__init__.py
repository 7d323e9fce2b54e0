"""Facts of all services become the run's view; an upload is taken over and sealed; a run that is over is tidied up."""

from lifemask.bus.outcomes import on
from lifemask.contracts import (
    DatasetSealed,
    ModelReady,
    ModelRevoked,
    NotificationDelivered,
    PhotoJudged,
    PhotosUploaded,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunFailed,
    RunRejected,
    RunStalled,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.ingest.handlers.clearing import clear_incoming, clear_originals, clear_work
from lifemask.ingest.handlers.following import follow, wind_up
from lifemask.ingest.handlers.restarting import bring_over
from lifemask.ingest.handlers.sealing import accept_run, expire_draft, give_up
from lifemask.ingest.handlers.uploads import refuse_unreadable, take_over, take_upload
from lifemask.ingest.reminders import (
    BringOver,
    ClearIncoming,
    ClearOriginals,
    ClearWork,
    ExpireDraft,
    GiveUp,
    SealUpload,
    TakeUpload,
)

HANDLERS = (
    on(PhotosUploaded, take_upload, brings="run", unfit=refuse_unreadable),
    on(TakeUpload, take_over),
    on(BringOver, bring_over),
    on(PhotoJudged, follow),
    on(RunAccepted, follow),
    on(PhotosValidated, follow),
    on(DatasetSealed, follow),
    on(TrainingStarted, follow),
    on(TrainingProgressed, follow),
    on(TrainingSucceeded, follow),
    on(RunStalled, follow),
    on(ModelRevoked, follow),
    on(NotificationDelivered, follow),
    on(ModelReady, wind_up),
    on(RunRejected, wind_up),
    on(RunFailed, wind_up),
    on(RunCanceled, wind_up),
    on(SealUpload, accept_run),
    on(GiveUp, give_up),
    on(ExpireDraft, expire_draft),
    on(ClearWork, clear_work),
    on(ClearOriginals, clear_originals),
    on(ClearIncoming, clear_incoming),
)
