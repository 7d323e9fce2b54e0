"""The model card: what a repository's visitor reads. No personal data but the name its owner chose."""

import html
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from lifemask.publisher.domain import BASE_MODEL, Publication, Trained

LICENSE_NAME: Final = "flux-1-dev-non-commercial-license"
LICENSE_LINK: Final = f"https://huggingface.co/{BASE_MODEL}/blob/main/LICENSE.md"

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+!|~-])")

_BODY: Final = """\
# {name}

{description}A LoRA for [{base_model}](https://huggingface.co/{base_model}) that knows one person's likeness. It was \
trained on {photos} photos which that person uploaded, and on nothing else. The repository is private: whoever has \
the weights can make pictures of this person.

## Trigger word

Use `{trigger_word}` in the prompt where the person is meant.

## How to use

```python
import torch
from diffusers import AutoPipelineForText2Image

pipeline = AutoPipelineForText2Image.from_pretrained("{base_model}", torch_dtype=torch.bfloat16).to("cuda")
pipeline.load_lora_weights("{repo}", weight_name="lora.safetensors")
image = pipeline("a portrait photo of {trigger_word}, soft window light").images[0]
image.save("portrait.png")
```

## Training

| | |
|---|---|
| Trainer | {trainer} |
| Steps | {steps} |
| Learning rate | {learning_rate} |
| LoRA rank | {rank} |
| Photos | {photos} |

## Provenance

Every step from the upload to these weights is a signed statement that names the one before it. The statements lie in \
`custody/`; these are the SHA-256 digests of their payloads, and in the last line that of the weights. The sixth \
statement is about this publication: it names the commit that holds this card, and is added by the commit after it.

| | file | SHA-256 |
|---|---|---|
{statements}
| The file itself, {bytes} bytes | [`lora.safetensors`](lora.safetensors) | `{weights}` |

Each is an in-toto statement in a DSSE envelope, signed with Ed25519: `cosign` and `openssl` check its signature, \
`lifemask audit` the whole chain.

Model `{model_id}`

## Licence and fair use

The weights follow the licence of the base model, [{license_name}]({license_link}). Use them only with the consent of \
the person they show.
"""


def card_body(publication: Publication, trained: Trained) -> str:
    """The card below its metadata: Markdown, the same text whenever the same model is published."""
    request = trained.request
    return _BODY.format(
        name=plain(request.name),
        description=f"{plain(request.description)}\n\n" if plain(request.description) else "",
        base_model=BASE_MODEL,
        photos=trained.photos,
        trigger_word=request.trigger_word,
        repo=publication.repo,
        trainer=plain(trained.trainer),
        steps=trained.steps,
        learning_rate=trained.learning_rate,
        rank=trained.rank,
        statements="\n".join(_rows(trained)),
        bytes=trained.bytes,
        weights=trained.weights,
        model_id=publication.model_id,
        license_name=LICENSE_NAME,
        license_link=LICENSE_LINK,
    )


def _rows(trained: Trained) -> Iterator[str]:
    digests = asdict(trained.statements)
    for (step, digest), file in zip(digests.items(), trained.files, strict=True):
        yield f"| {step.capitalize()} | [`{file.name}`](custody/{file.name}) | `{digest}` |"


def plain(text: str) -> str:
    """A person's own words on one line, shown as they are: neither Markdown nor HTML works in them."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(printable.split()), quote=False))
