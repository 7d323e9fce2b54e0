"""`python -m lifemask.image_validator`."""

import lifemask.runtime.loading  # noqa: F401  first
from lifemask.image_validator.settings import ImageValidatorSettings
from lifemask.image_validator.wiring import image_validator
from lifemask.runtime.main import run

if __name__ == "__main__":
    run("image-validator", image_validator, ImageValidatorSettings)
