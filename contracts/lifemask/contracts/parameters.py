"""What a person may choose about a training, with the trainer's ranges."""

from typing import Annotated, Final

from pydantic import Field

from lifemask.contracts.event import Value

STEPS: Final = (3, 6000)
"""Range of `steps` of ostris/flux-dev-lora-trainer, from its published input schema."""
RANKS: Final = (1, 128)
"""Range of `lora_rank` of the same trainer."""

LearningRate = Annotated[
    str,
    Field(
        pattern=r"^0\.0[0-9]{0,7}[1-9]$",
        description="Learning rate as a decimal string, above 0 and below 0.1: a string, so that the sealed value has "
        "one spelling (no trailing zero). The trainer states no range; ours keeps out values that learn nothing or "
        "destroy what is there.",
        examples=["0.0001"],
    ),
]


class TrainingParameters(Value):
    """The numbers of a training; without personal data, so they travel in events."""

    steps: int = Field(default=1000, ge=STEPS[0], le=STEPS[1], examples=[1000])
    """Training steps; price and time grow with them."""
    learning_rate: LearningRate = "0.0001"
    rank: int = Field(default=16, ge=RANKS[0], le=RANKS[1], examples=[16])
    """LoRA rank: 16 gives weights of about 172 MB, 32 about 344 MB."""


TriggerWord = Annotated[
    str,
    Field(
        pattern="^[A-Za-z][A-Za-z0-9_]{1,31}$",
        description="The word that calls the likeness in a prompt: 2 to 32 letters, digits and _, first a letter.",
        examples=["TOK"],
    ),
]


class RunRequest(TrainingParameters):
    """Everything a person chooses when starting a run.

    Lifemask keeps it in the user's own part of the store; of all events only `PhotosUploaded` carries it.
    """

    name: str = Field(min_length=1, max_length=80, examples=["My portrait"])
    """The model's name, shown to its owner."""
    description: str = Field(default="", max_length=500, examples=["Studio portraits, spring"])
    """Free text of the owner."""
    trigger_word: TriggerWord = "TOK"
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=500)]] = Field(
        default_factory=dict, max_length=20, examples=[{"order": "1234"}]
    )
    """The app's own labels, at most 20, carried to every surface."""

    @property
    def parameters(self) -> TrainingParameters:
        """The part that travels in events."""
        return TrainingParameters(steps=self.steps, learning_rate=self.learning_rate, rank=self.rank)
