"""The mini captioner: a small BLIP (arXiv 2201.12086) that describes the studio's pictures.

    python -m sdnb.mini.recipe.captioner --out sdnb/mini/weights/captioner  # trains and measures it

Model and processor are those of the large one, so a notebook captions offline with the very code
that captions real photos. An interrupted training goes on where it was (see `train`).
"""

import argparse
import json
import re
from pathlib import Path

import torch
from PIL import Image, ImageOps
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
)

from sdnb.captioning.captioners import MINI, tidy
from sdnb.dataset.samples import sample_photos
from sdnb.mini.recipe import data
from sdnb.mini.recipe.optimise import DEVICE, STATE, autocast, optimise
from sdnb.mini.recipe.samples import sets
from sdnb.mini.scenes import GLASSES, HATS, PLACES, Scene
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import HAIR_COLOURS, HAIR_STYLES
from sdnb.mini.words import described

SIZE, PATCH, LONGEST = 128, 8, 48  # pixels, pixels, tokens
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
PICTURES, STEPS, BATCH, SHIFT = 80_000, 12_000, 256, 6


def build_processor() -> BlipProcessor:
    """BERT's tokenizer with the words of the studio's descriptions, and BLIP's picture side."""
    told = [described(data.captioner_scene(index)) for index in range(4000)]
    words = sorted({word for text in told for word in re.findall(r"[a-z]+|,", text)})
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    every = dict.fromkeys([*SPECIAL, *words, *letters, *(f"##{letter}" for letter in letters)])
    vocab = {word: number for number, word in enumerate(every)}
    tokenizer = BertTokenizer(vocab=vocab, bos_token="[DEC]")
    tokenizer.model_max_length = LONGEST
    return BlipProcessor(BlipImageProcessor(size={"height": SIZE, "width": SIZE}), tokenizer)


def build_captioner(processor: BlipProcessor) -> BlipForConditionalGeneration:
    """BLIP in small, with random weights, for the processor's words."""
    ids = processor.tokenizer.convert_tokens_to_ids
    width = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4}
    vision = width | {"num_hidden_layers": 5, "image_size": SIZE, "patch_size": PATCH}
    text = width | {"num_hidden_layers": 3, "encoder_hidden_size": 128}
    text |= {"vocab_size": len(processor.tokenizer), "max_position_embeddings": LONGEST}
    text |= {"bos_token_id": ids("[DEC]"), "sep_token_id": ids("[SEP]"), "pad_token_id": 0}
    text["eos_token_id"] = ids("[SEP]")
    vision["initializer_range"] = 0.02  # the default, 1e-10, is for weights that are loaded
    return BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=vision, projection_dim=128)
    )


def init_weights(folder: Path, processor: BlipProcessor) -> BlipForConditionalGeneration:
    """An earlier version to go on from; its words keep what they mean, new ones begin by chance."""
    model = build_captioner(processor)
    earlier = BlipForConditionalGeneration.from_pretrained(folder)
    known = BlipProcessor.from_pretrained(folder).tokenizer.get_vocab()
    weights, now = earlier.state_dict(), model.state_dict()
    for name, value in weights.items():
        if value.shape[0] == len(known):
            rows = now[name].clone()
            for word, row in processor.tokenizer.get_vocab().items():
                if word in known:
                    rows[row] = value[known[word]]
            weights[name] = rows
    model.load_state_dict(weights)
    return model


def train_captioner(
    steps: int, pictures: int, batch: int, begin: Path | None = None
) -> BlipForConditionalGeneration:
    """Next-word prediction on the descriptions of drawn pictures, each shifted, mirrored and lit a
    little differently every time."""
    data.draw_set("captioner", pictures, STATE)
    seen, processor = data.Pictures("captioner", STATE, DEVICE), build_processor()
    told = [wordings[0] for wordings in seen.captions]
    ids = processor.tokenizer(told, padding=True, return_tensors="pt").input_ids.to(DEVICE)
    ids[:, 0] = processor.tokenizer.convert_tokens_to_ids("[DEC]")
    model = init_weights(begin, processor) if begin else build_captioner(processor)
    shape = (1, 3, 1, 1)
    mean, std = (
        torch.tensor(values, device=DEVICE).view(shape)
        for values in (processor.image_processor.image_mean, processor.image_processor.image_std)
    )

    def loss_of(step: int) -> torch.Tensor:
        index = torch.randint(len(seen), (batch,)).to(DEVICE)
        shown = (_varied((seen[index] + 1) / 2) - mean) / std
        words = ids[index]
        attention, labels = words != 0, words.masked_fill(words == 0, -100)
        with autocast():
            return model(shown, words, attention_mask=attention.long(), labels=labels).loss

    return optimise("captioner", {"captioner": model}, loss_of, steps, 1e-3, ema=0.998)["captioner"]


def _varied(pictures: torch.Tensor) -> torch.Tensor:
    """The batch shifted by some pixels, every second time mirrored, each lit its own way."""
    across, down = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    padded = torch.nn.functional.pad(pictures, (SHIFT,) * 4, mode="replicate")
    pictures = padded[..., SHIFT + down :, SHIFT + across :][..., :SIZE, :SIZE]
    if torch.rand(()) < 0.5:
        pictures = pictures.flip(-1)
    light = 0.85 + 0.3 * torch.rand(len(pictures), 1, 1, 1, device=pictures.device)
    return (pictures * light).clamp(0, 1)


NAMES = {"hat": HATS, "glasses": GLASSES, "hair": HAIR_STYLES, "hair_colour": HAIR_COLOURS}
NAMES["place"] = tuple(PLACES)


def named(caption: str) -> dict[str, str]:
    """What a description names, by feature; what it is silent about is "none"."""
    found = {"hat": "none", "glasses": "none", "hair": "none", "hair_colour": "none"}
    found |= {
        name: value
        for name in ("hat", "glasses")
        for value in NAMES[name]
        if re.search(rf"\b{value}\b( glasses)?", caption) and value != "none"
    }
    if hair := re.search(r"with (?:(\w+) )?(\w+) hair", caption):
        found["hair"], found["hair_colour"] = hair[1] or "none", hair[2]
    if " bald " in caption:
        found["hair"] = "bald"
    found["place"] = next((p for p, words in PLACES.items() if caption.endswith(words)), "none")
    return found


def measure(model, processor, scenes: list[Scene], pictures: list[Image.Image]) -> dict[str, float]:
    """The shares of the pictures in which hat, glasses, hair and place are named rightly (or left
    out where there are none), and of the captions that are right word for word."""
    told = []
    for start in range(0, len(pictures), 64):
        shown = processor(images=pictures[start : start + 64], return_tensors="pt").to(model.device)
        ids = model.generate(**shown, max_new_tokens=LONGEST - 2, num_beams=3)
        told += processor.batch_decode(ids, skip_special_tokens=True)
    truths = [described(scene) for scene in scenes]
    pairs = [(named(tidy(text)), named(truth)) for text, truth in zip(told, truths)]
    shares = {
        name: sum(said[name] == is_[name] for said, is_ in pairs) / len(pairs) for name in NAMES
    }
    exact = sum(tidy(text) == truth for text, truth in zip(told, truths)) / len(truths)
    return {name: round(share, 3) for name, share in {**shares, "word for word": exact}.items()}


def sample_pictures(name: str) -> tuple[list[Scene], list[Image.Image]]:
    """The photos of a sample set, upright and square, and the truth about them."""
    paths = sorted(sample_photos(name).glob("*.jpg"))
    upright = [ImageOps.exif_transpose(Image.open(path)) for path in paths]
    scenes = [scene for scene, _ in sets()[name]]
    return scenes, [ImageOps.fit(picture, (512, 512)) for picture in upright]


def save(model: BlipForConditionalGeneration, processor: BlipProcessor, out: Path) -> None:
    """fp16 safetensors in the folder layout of the large ones."""
    model.cpu().half().save_pretrained(out)
    config = out / "config.json"  # or transformers would calculate in the file's fp16
    config.write_text(config.read_text().replace('"float16"', '"float32"'))
    processor.save_pretrained(out)


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--out", type=Path, default=MINI)
    ask.add_argument("--steps", type=int, default=STEPS)
    ask.add_argument("--pictures", type=int, default=PICTURES)
    ask.add_argument("--batch", type=int, default=BATCH)
    ask.add_argument("--begin", type=Path, help="an earlier version's folder to begin from")
    ask.add_argument("--count", type=int, default=1000, help="unseen pictures to measure it on")
    asked = ask.parse_args(arguments)
    model = train_captioner(asked.steps, asked.pictures, asked.batch, asked.begin)
    processor = build_processor()
    save(model, processor, asked.out)
    model.float().to(DEVICE)
    scenes = [data.captioner_scene(data.UNSEEN + number) for number in range(asked.count)]
    near = [scene for scene in scenes if scene.is_person and scene.style == "photo"]
    groups = {
        "fresh pictures": (scenes, [draw_scene(scene) for scene in scenes]),
        "fresh photos of people": (near, [draw_scene(scene) for scene in near]),
        **{f"sample {name}": sample_pictures(name) for name in ("person", "product", "style")},
    }
    figures = {name: measure(model, processor, *group) for name, group in groups.items()}
    recipe = {"steps": asked.steps, "batch": asked.batch, "pictures": asked.pictures}
    if asked.begin:
        recipe["began from"] = json.loads((asked.begin / "recipe.json").read_text())
    recipe |= {"torch": torch.__version__, "measured": figures}
    (asked.out / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")
    print(json.dumps(recipe, indent=1))


if __name__ == "__main__":
    main()
