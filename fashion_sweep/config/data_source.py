"""What a preset says of one data set: its layout, its place, its filter, and the size of pictures judged on it."""

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from fashion_sweep.config.frozen import Frozen
from fashion_sweep.doors import LAYOUTS
from fashion_sweep.errors import did_you_mean


class Size(Frozen):
    """How an image is brought to the model's size: resize the shorter side, then crop. Pixels."""

    height: PositiveInt
    width: PositiveInt
    shorter_side: PositiveInt

    @model_validator(mode="after")
    def _crop_fits(self) -> "Size":
        if self.shorter_side < min(self.height, self.width):
            raise ValueError(f"shorter_side {self.shorter_side} is smaller than the {self.height}x{self.width} crop")
        return self


class PublishedData(Frozen):
    """How large a data set is as its authors publish it: what `plan` and `rehearse` reckon with where it is not at
    hand."""

    images: PositiveInt
    """Before any filter."""
    width: PositiveInt
    height: PositiveInt
    """Of most images, in pixels."""


class DataSource(Frozen):
    """A data set: where its captioned images lie, and which of them are used."""

    layout: str
    """How it lies on disk: `folder`, `deepfashion`, `coco`, or another of `doors.LAYOUTS`."""
    root: str | None = Field(None, min_length=1)
    """Its folder, or a URL that fsspec knows; null renders the embedded world."""
    rendered_images: PositiveInt | None = None
    """How many images to render where `root` is null."""
    published: PublishedData | None = None
    min_aspect_ratio: PositiveFloat | None = None
    max_aspect_ratio: PositiveFloat | None = None
    """Images with width/height outside these bounds are dropped."""
    evaluation: Size | None = None
    """Of the pictures that are judged on it; null: as large as training images, cropped as little as that takes."""

    @field_validator("layout")
    @classmethod
    def _layout_is_known(cls, name: str) -> str:
        if name not in LAYOUTS:
            raise ValueError(f"unknown data layout{did_you_mean(name, LAYOUTS.names)}")
        return name
