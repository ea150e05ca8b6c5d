"""Pictures as files: what `sdnb generate` does."""

from dataclasses import replace
from pathlib import Path

from sdnb.adapters.loading import load_lora
from sdnb.adapters.words import load_embedding
from sdnb.files import make_writable_folder
from sdnb.inference.config import ImageConfig
from sdnb.inference.infotext import recipe_of, save_with_infotext
from sdnb.inference.pictures import draw
from sdnb.machine import find_machine
from sdnb.models.loading import load_model


def make_image_files(
    folder: Path,
    config: ImageConfig,
    base: str = "mini",
    lora: Path | None = None,
    embedding: Path | None = None,
) -> list[Path]:
    """Draw what `config` asks for into `folder` as PROMPT_SEED.png, prompts counted from 1, each
    with the text that says how it was made. A LoRA may be named for the prompts that call none, and
    a learned word; the text then tells their files. Raises Problem where one of the files cannot be
    used."""
    folder, machine = make_writable_folder(folder), find_machine()
    model = load_model(base).to(machine.device)
    if embedding:
        load_embedding(model, embedding)
    if lora:
        load_lora(model, lora)
    files = {"LoRA": lora, "Embedding": embedding}
    named = {kind: Path(file).name for kind, file in files.items() if file}
    paths = []
    for index, picture in enumerate(draw(model, config, machine.precision)):
        row, column = divmod(index, config.seeds)
        seed = config.first_seed + column
        paths.append(folder / f"{row + 1:02}_{seed:05}.png")
        recipe = recipe_of(config, model.info, config.prompts[row], seed)
        save_with_infotext(picture, paths[-1], replace(recipe, more={**recipe.more, **named}))
    return paths
