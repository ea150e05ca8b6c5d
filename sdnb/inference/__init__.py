"""Pictures from prompts, and what was trained put to use."""

from sdnb.inference.folder import draw_into
from sdnb.inference.grids import Axis, Grid, picture_grid
from sdnb.inference.infotext import (
    Recipe,
    config_from,
    read_picture,
    read_text,
    recipe_of,
    save_picture,
    write_text,
)
from sdnb.inference.names import find_embeddings, find_lora
from sdnb.inference.pictures import generate, make_pictures, remarks
from sdnb.inference.prompts import escape, read_prompt
from sdnb.inference.samplers import SAMPLERS, make_sampler

__all__ = [
    "SAMPLERS",
    "Axis",
    "Grid",
    "Recipe",
    "config_from",
    "draw_into",
    "escape",
    "find_embeddings",
    "find_lora",
    "generate",
    "make_pictures",
    "make_sampler",
    "picture_grid",
    "read_picture",
    "read_prompt",
    "read_text",
    "recipe_of",
    "remarks",
    "save_picture",
    "write_text",
]
