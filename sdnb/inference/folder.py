"""Pictures as files: what `sdnb generate` does."""

from pathlib import Path

from sdnb.config import PictureConfig
from sdnb.files import make_writable_folder, write_atomically
from sdnb.inference.embedding import load_embedding
from sdnb.inference.lora import load_lora
from sdnb.inference.pictures import generate
from sdnb.machine import find_machine
from sdnb.models import load_model


def draw_into(
    folder: Path,
    config: PictureConfig,
    base: str = "mini",
    lora: Path | None = None,
    embedding: Path | None = None,
) -> list[Path]:
    """Draw what `config` asks for into `folder` as PROMPT_SEED.png, prompts counted from 1, with
    the LoRA and the learned word that are named. Raises Problem where one of them cannot be used.
    """
    folder, machine = make_writable_folder(folder), find_machine()
    model = load_model(base).to(machine.device)
    if embedding:
        load_embedding(model, embedding)
    if lora:
        load_lora(model, lora)
    paths = []
    for index, picture in enumerate(generate(model, config, machine.precision)):
        prompt, seed = divmod(index, config.seeds)
        paths.append(folder / f"{prompt + 1:02}_{config.first_seed + seed:05}.png")
        write_atomically(paths[-1], lambda path, picture=picture: picture.save(path, "PNG"))
    return paths
