"""The default thresholds, as the service has them without a setting."""

from lifemask.image_validator.settings import ImageValidatorSettings

SETTINGS = ImageValidatorSettings(_env_file=None)
POLICY = SETTINGS.policy
QUOTA = SETTINGS.quota
