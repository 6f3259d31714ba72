"""The sample grid: rows are configurations, columns are prompts with their seeds."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fashion_sweep.data.images import UNDECODABLE
from fashion_sweep.errors import DataError
from fashion_sweep.storage.files import replacing

CELL_WIDTH = 224
"""The width in pixels that every image is brought to, or to the height of most."""
GUTTER, MARGIN = 12, 20
FONT_SIZE, LINE_HEIGHT = 13, 17
TITLE_WIDTH = 150
INK, FAINT, PAPER = "#1a1a1a", "#8a8a8a", "white"


def write_grid(
    path: Path,
    titles: Sequence[str],
    headings: Sequence[str],
    cells: Sequence[Sequence[Path | Image.Image]],
    captions: Sequence[Sequence[str]] = (),
) -> None:
    """Writes the sample grid as the PNG `path`.

    Args:
        titles: one a row.
        headings: one a column; wrapped to the column's width.
        cells: image files or images, row by row; a file that is not there becomes a visible gap.
        captions: a line below each, where there are any.
    """
    images = [[_scaled(cell) for cell in row] for row in cells]
    heights = sorted(image.height for row in images for image in row if image) or [CELL_WIDTH]
    picture_height = heights[len(heights) // 2]
    cell_height = picture_height + (LINE_HEIGHT if captions else 0)
    wrapped = [textwrap.wrap(heading, width=CELL_WIDTH // 8) for heading in headings]
    top = MARGIN + LINE_HEIGHT * max(map(len, wrapped), default=0) + GUTTER
    left = MARGIN + TITLE_WIDTH + GUTTER
    width = left + len(headings) * (CELL_WIDTH + GUTTER) - GUTTER + MARGIN
    height = top + len(titles) * (cell_height + GUTTER) - GUTTER + MARGIN
    grid = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(grid)
    font = _font()

    for column, lines in enumerate(wrapped):
        x = left + column * (CELL_WIDTH + GUTTER)
        y = top - GUTTER - LINE_HEIGHT * len(lines)
        draw.multiline_text((x, y), "\n".join(lines), fill=INK, font=font, spacing=LINE_HEIGHT - FONT_SIZE)
    for row, (title, row_images) in enumerate(zip(titles, images, strict=True)):
        y = top + row * (cell_height + GUTTER)
        text = "\n".join(textwrap.wrap(title, width=TITLE_WIDTH // 8))
        draw.multiline_text((MARGIN, y + cell_height // 2), text, fill=INK, font=font, anchor="lm")
        for column, image in enumerate(row_images):
            x = left + column * (CELL_WIDTH + GUTTER)
            if image:
                image.thumbnail((CELL_WIDTH, picture_height))  # a photo that is taller than the pictures beside it
                grid.paste(image, (x + (CELL_WIDTH - image.width) // 2, y + (picture_height - image.height) // 2))
            else:
                _gap(draw, (x, y, x + CELL_WIDTH - 1, y + picture_height - 1), font)
            if captions:
                draw.text((x, y + picture_height + 2), captions[row][column], fill=INK, font=font)
    with replacing(path) as temporary:
        grid.save(temporary, optimize=True)


def _scaled(cell: Path | Image.Image) -> Image.Image | None:
    image = _read(cell) if isinstance(cell, Path) else cell
    return image and image.resize(
        (CELL_WIDTH, round(image.height * CELL_WIDTH / image.width)), Image.Resampling.LANCZOS
    )


def _read(path: Path) -> Image.Image | None:
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return opened.convert("RGB")
    except UNDECODABLE as error:
        raise DataError(
            f"{path} is damaged: {error}; remove its folder's trial result to have it made again"
        ) from error


def _gap(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], font: ImageFont.FreeTypeFont) -> None:
    draw.rectangle(box, outline=FAINT)
    draw.text(((box[0] + box[2]) // 2, (box[1] + box[3]) // 2), "no image", fill=FAINT, font=font, anchor="mm")


def _font() -> ImageFont.FreeTypeFont:
    """Loads DejaVu Sans as matplotlib ships it, so that the grid looks alike everywhere."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", FONT_SIZE)
