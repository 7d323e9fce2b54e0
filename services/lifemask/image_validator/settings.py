"""Settings of the image-validator beside those that all services share: the thresholds, each with its source."""

from pydantic import Field

from lifemask.image_validator.domain.photo import Policy, Quota
from lifemask.runtime.settings import ServiceSettings


class ImageValidatorSettings(ServiceSettings):
    """A change of a threshold changes the policy digest in the statements made from then on."""

    photos_min: int = Field(default=12, ge=1)
    """Usable photos that a run needs: the product's rule, checked again by ingest and packager."""
    photos_max: int = Field(default=100, ge=1)
    """Photos that a run takes."""
    photo_bytes_min: int = Field(default=10_000, ge=1)
    """Smallest file in bytes: the product's rule; below it are thumbnails and icons."""
    photo_bytes_max: int = Field(default=10_000_000, ge=1)
    """Largest file in bytes: the product's rule; a 12 MP JPEG has 3 to 4 MB."""
    photo_pixels_max: int = Field(default=50_000_000, ge=1)
    """Pixels that are decoded at most: phones' 48 to 50 MP modes are in. Memory per decoding thread is at most 16
    times as many bytes (WebP; 11 for the others)."""
    photo_side_min: int = Field(default=512, ge=1)
    """Pixels of the shorter side: the smallest of the trainer's resolutions (512, 768, 1024)."""
    photo_aspect_max: float = Field(default=3.0, ge=1)
    """Longer by shorter side. Phones make up to 2.4 (21:9); panoramas start at 3."""
    photo_sharpness_min: float = Field(default=12.0, ge=0)
    """95th percentile of the variance of the 4-neighbour Laplacian over 16 x 16 tiles of the luma at a long side of
    1024. Measured on 68 photographs and paintings: rejects 1 sharp one in 40, 4 of 5 at a blur of 2 pixels, nearly
    all at 3 pixels."""
    photo_brightness_min: float = Field(default=30.0, ge=0, le=255)
    """Mean luma (0 to 255). Drawn portraits, night scenes among them, measure 65 to 139, one taken in the dark 3; set
    low, because a dark ground around a well-lit face is no fault."""
    photo_brightness_max: float = Field(default=235.0, ge=0, le=255)
    """Mean luma (0 to 255). White is 255: what is left of such a photo fills less than a tenth of the range."""
    photo_black_max: float = Field(default=0.75, ge=0, le=1)
    """Share of pixels with luma 5 or less: a face that fills a quarter of a black picture still passes. A drawn
    portrait taken in the dark measures 0.91, all others below 0.01."""
    photo_white_max: float = Field(default=0.75, ge=0, le=1)
    """Share of pixels with luma 250 or more: likewise before pure white."""
    photo_contrast_min: float = Field(default=8.0, ge=0)
    """Standard deviation of luma. Drawn portraits measure 35 to 78, one taken in the dark 2."""
    photo_likeness_max: int = Field(default=60, ge=0, le=255)
    """Bits of the 255-bit perceptual hash in which two photos may differ and still be the same one. Measured on drawn
    portraits: resized, recompressed, brightened, greyed at most 20; 3 % cropped on every side 40 to 76 (median 50);
    one person in other poses before one scene 68 and more (median 110); other scenes 96 and more."""
    clean_side: int = Field(default=2048, ge=64)
    """Longest side of the clean photo in pixels: twice the trainer's largest resolution."""
    clean_quality: int = Field(default=92, ge=50, le=100)
    """JPEG quality of the clean photo, without colour subsampling."""
    photo_heic: bool = True
    """HEIC photos are taken where the extra `heic` is installed; false refuses them there as well."""
    imaging_threads: int = Field(default=2, ge=1, le=64)
    """Pictures decoded at once; with `photo_pixels_max` the bound of the service's memory."""

    @property
    def quota(self) -> Quota:
        """How many photos."""
        return Quota(self.photos_min, self.photos_max)

    @property
    def policy(self) -> Policy:
        """What each photo must be."""
        return Policy(
            min_bytes=self.photo_bytes_min,
            max_bytes=self.photo_bytes_max,
            min_side=self.photo_side_min,
            max_pixels=self.photo_pixels_max,
            max_aspect=self.photo_aspect_max,
            min_sharpness=self.photo_sharpness_min,
            min_brightness=self.photo_brightness_min,
            max_brightness=self.photo_brightness_max,
            max_black=self.photo_black_max,
            max_white=self.photo_white_max,
            min_contrast=self.photo_contrast_min,
            max_likeness=self.photo_likeness_max,
            clean_side=self.clean_side,
            clean_quality=self.clean_quality,
            heic=self.photo_heic,
        )
