"""The events of Lifemask, their envelope, topics and failure catalogue."""

from lifemask.contracts.catalogue import BY_TYPE, EVENTS, TERMINAL, UnknownType, parse, split_version
from lifemask.contracts.datasets import DatasetSealed, PhotosValidated
from lifemask.contracts.envelope import BadEnvelope, Envelope, Record, pack, read_envelope
from lifemask.contracts.event import Baton, Event, RunEvent, Stage, Value
from lifemask.contracts.failures import CATALOGUE, Category, Failure, FailureCode, Move
from lifemask.contracts.guidance import GUIDANCE, Advice, Guidance, Occasion, advice_for
from lifemask.contracts.ids import OPERATOR, OWN_APP, Digest, ModelId, PhotoId, RunId, UserId, app_of, new_id, user_id
from lifemask.contracts.models import ModelReady, ModelRevocationRequested, ModelRevoked
from lifemask.contracts.notifications import NotificationDelivered, Refused, SecurityReported
from lifemask.contracts.parameters import RunRequest, TrainingParameters
from lifemask.contracts.photos import PhotoJudged, PhotoReceived, PhotoRemoved
from lifemask.contracts.runs import (
    PhotoVerdict,
    RunAccepted,
    RunCanceled,
    RunCancelRequested,
    RunFailed,
    RunRejected,
    RunStalled,
)
from lifemask.contracts.topics import PARTITIONS, Topic
from lifemask.contracts.trainings import (
    ArchiveFetched,
    ArchiveRefusal,
    TrainingCallbackReceived,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.contracts.uploads import PhotosUploaded, photo_id_of
from lifemask.contracts.users import UserErased, UserErasureRequested
from lifemask.contracts.verdicts import Verdict, sentence

__all__ = [
    "BY_TYPE",
    "CATALOGUE",
    "EVENTS",
    "GUIDANCE",
    "OPERATOR",
    "OWN_APP",
    "PARTITIONS",
    "TERMINAL",
    "Advice",
    "ArchiveFetched",
    "ArchiveRefusal",
    "BadEnvelope",
    "Baton",
    "Category",
    "DatasetSealed",
    "Digest",
    "Envelope",
    "Event",
    "Failure",
    "FailureCode",
    "Guidance",
    "ModelId",
    "ModelReady",
    "ModelRevocationRequested",
    "ModelRevoked",
    "Move",
    "NotificationDelivered",
    "Occasion",
    "PhotoId",
    "PhotoJudged",
    "PhotoReceived",
    "PhotoRemoved",
    "PhotoVerdict",
    "PhotosUploaded",
    "PhotosValidated",
    "Record",
    "Refused",
    "RunAccepted",
    "RunCancelRequested",
    "RunCanceled",
    "RunEvent",
    "RunFailed",
    "RunId",
    "RunRejected",
    "RunRequest",
    "RunStalled",
    "SecurityReported",
    "Stage",
    "Topic",
    "TrainingCallbackReceived",
    "TrainingParameters",
    "TrainingProgressed",
    "TrainingStarted",
    "TrainingSucceeded",
    "UnknownType",
    "UserErased",
    "UserErasureRequested",
    "UserId",
    "Value",
    "Verdict",
    "advice_for",
    "app_of",
    "new_id",
    "pack",
    "parse",
    "photo_id_of",
    "read_envelope",
    "sentence",
    "split_version",
    "user_id",
]
