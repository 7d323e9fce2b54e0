"""The whole README.md of a repository."""

from lifemask.publisher.adapters.hub_library import ModelCardData
from lifemask.publisher.card import LICENSE_LINK, LICENSE_NAME, card_body
from lifemask.publisher.domain import BASE_MODEL, Publication, Trained


def card_text(publication: Publication, trained: Trained) -> str:
    """Metadata in YAML, then the text: the same for the same model, so that its digest can be sealed."""
    data = ModelCardData(
        base_model=BASE_MODEL,
        license="other",
        license_name=LICENSE_NAME,
        license_link=LICENSE_LINK,
        pipeline_tag="text-to-image",
        instance_prompt=trained.request.trigger_word,
        tags=["lora", "diffusers", "flux"],
    )
    return f"---\n{data.to_yaml()}\n---\n\n{card_body(publication, trained)}"
