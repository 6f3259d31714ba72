"""The settings of one data set in a preset: its layout, place and filter, and the size of pictures judged on it."""

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from fashion_sweep.config.frozen import Frozen
from fashion_sweep.config.judging import MetricName
from fashion_sweep.config.training_axes import Quantization
from fashion_sweep.doors import LAYOUTS
from fashion_sweep.errors import did_you_mean


class Size(Frozen):
    """The size that an image is brought to, in pixels: the shorter side is resized, then the image is cropped."""

    height: PositiveInt
    width: PositiveInt
    shorter_side: PositiveInt

    @model_validator(mode="after")
    def _crop_fits(self) -> "Size":
        if self.shorter_side < min(self.height, self.width):
            raise ValueError(f"shorter_side {self.shorter_side} is smaller than the {self.height}x{self.width} crop")
        return self


class PublishedData(Frozen):
    """The size of a data set as its authors publish it.

    `plan` and `rehearse` reckon with it where the data set is not at hand.
    """

    images: PositiveInt
    """The number of images before any filter."""
    width: PositiveInt
    height: PositiveInt
    """The height of most images in pixels, which goes with `width`."""


class DataSource(Frozen):
    """A data set: where its captioned images lie, and which of them are used."""

    same_as: str | None = None
    """Another data set of the preset, whose images and settings it has but for those given here."""
    layout: str
    """The layout on disk: `folder`, `deepfashion`, `coco`, or another of `doors.LAYOUTS`."""
    root: str | None = Field(None, min_length=1)
    """The folder of the data set, or a URL that fsspec knows; null renders the embedded world."""
    rendered_images: PositiveInt | None = None
    """The number of images to render where `root` is null."""
    published: PublishedData | None = None
    min_aspect_ratio: PositiveFloat | None = None
    max_aspect_ratio: PositiveFloat | None = None
    """The largest width/height; images outside the two bounds are dropped."""
    evaluation: Size | None = None
    """The size of pictures judged on the set; null: as large as training images, cropped as little as that takes."""
    quantization: Quantization | None = None
    """What the base model is rounded to when it draws the pictures judged on the set, as in `model.quantization`;
    null: to nothing, whatever an adapter was trained on."""

    show: list[MetricName] = Field(default_factory=list)
    """The metrics that are measured and shown without a say in the verdict, beside those that a sweep's would have."""

    @property
    def is_rendered(self) -> bool:
        """Whether the embedded world's renderer makes the images."""
        return self.root is None and self.rendered_images is not None

    @field_validator("layout")
    @classmethod
    def _layout_is_known(cls, name: str) -> str:
        if name not in LAYOUTS:
            raise ValueError(f"unknown data layout{did_you_mean(name, LAYOUTS.names)}")
        return name
