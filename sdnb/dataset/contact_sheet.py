"""Many pictures on one labelled sheet."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from sdnb.errors import Problem


def image_grid(
    images: Sequence[Image.Image],
    columns: int,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> Image.Image:
    """A contact sheet, filled row by row: labels of rows at the left, of columns on top.

    All pictures get the size of the first. Long labels are wrapped. Raises Problem where there are
    no pictures.
    """
    if not images:
        raise Problem("There are no images for a sheet", do="Make some first")
    width, height = images[0].size
    font = ImageFont.load_default(max(10, width // 11))
    gap = max(2, width // 32)
    rows = -(-len(images) // columns)
    left = width + gap if row_labels else gap
    heads = [_wrap(label, font, width) for label in column_labels[:columns]]
    top = gap + max((_height(text, font) + gap for text in heads), default=0)
    sheet = Image.new("RGB", (left + columns * (width + gap), top + rows * (height + gap)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(heads):
        draw.multiline_text((left + column * (width + gap), gap), text, "black", font)
    for row, label in enumerate(row_labels[:rows]):
        text = _wrap(label, font, width - gap)
        draw.multiline_text((gap, top + row * (height + gap)), text, "black", font)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        corner = left + column * (width + gap), top + row * (height + gap)
        sheet.paste(image.convert("RGB").resize((width, height)), corner)
    return sheet


def _wrap(text: str, font, width: int) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _height(text: str, font) -> int:
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    return int(box[3]) + 1
