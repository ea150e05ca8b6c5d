"""Captioners: what they are asked and what they answer, tried on tiny random ones and on the mini
one."""

import gc
import shutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from sdnb import captioning
from sdnb.captioning import CaptionConfig, load_captioner, make_captions
from sdnb.captioning.captioners import MINI, tidy
from sdnb.dataset.samples import sample_photos
from sdnb.errors import Problem
from sdnb.mini.scenes import photos_of
from sdnb.mini.studio import draw_scene
from sdnb.mini.subjects import SAMPLE_PERSON


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    """A tiny BLIP whose weights are drawn wide, so that pictures differ in what it babbles."""
    from sdnb.mini.recipe.captioner import build_captioner, build_processor

    folder, processor = tmp_path_factory.mktemp("models") / "blip", build_processor()
    torch.manual_seed(0)
    model = build_captioner(processor)
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def florence(tmp_path_factory):
    """A tiny random Florence-2 that knows single letters."""
    from transformers import (
        BartTokenizer,
        CLIPImageProcessorPil,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    folder = tmp_path_factory.mktemp("models") / "florence"
    letters = [chr(code) for code in range(33, 127)]
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<image>", *letters, "\u0120"]
    tokenizer = BartTokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        extra_special_tokens={"image_token": "<image>"},
    )
    size = {"height": 64, "width": 64}
    shown = CLIPImageProcessorPil(size=size, do_center_crop=False)
    shown.image_seq_length = 5
    text = {"model_type": "bart", "vocab_size": len(words), "d_model": 32}
    for side in ("encoder", "decoder"):
        text |= {f"{side}_layers": 1, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 32}
    text |= {"max_position_embeddings": 128, "forced_eos_token_id": None}
    vision = {"depths": (1, 1), "embed_dim": (16, 32), "num_heads": (2, 2), "num_groups": (2, 2)}
    vision |= {"patch_size": (7, 3), "patch_stride": (16, 2), "patch_padding": (3, 1)}
    vision |= {"patch_prenorm": (False, True), "window_size": 2, "projection_dim": 32}
    torch.manual_seed(0)
    Florence2ForConditionalGeneration(
        Florence2Config(
            image_token_id=tokenizer.image_token_id, text_config=text, vision_config=vision
        )
    ).save_pretrained(folder)
    Florence2Processor(shown, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures():
    """Five of many shapes."""
    chance = np.random.default_rng(0)
    noise = [chance.integers(0, 256, (40 + 9 * i, 50, 3), dtype=np.uint8) for i in range(3)]
    plain = [Image.new("RGB", (90, 50), colour) for colour in ("red", "blue")]
    return [*map(Image.fromarray, noise), *plain]


def loaded(folder, cpu, **settings):
    return load_captioner(CaptionConfig(captioner=str(folder), **settings), cpu)


def tokens_of(captioner, pictures) -> torch.Tensor:
    """(n, length) the ids that are made for the pictures, without what was given."""
    made, generate = [], captioner.model.generate

    def listening(**asked):
        made.append(generate(**asked))
        return made[0]

    captioner.model.generate = listening
    captioner(pictures)
    return made[0][
        :, max(captioner.prompt_length, 1) :
    ]  # Florence-2's answer begins with a mark too


@pytest.mark.parametrize("family", ["blip", "florence"])
@pytest.mark.parametrize(
    "settings", [{"max_length": 7}, {"min_length": 30, "max_length": 30}, {"beams": 1}]
)
def test_lengths_are_obeyed(family, settings, cpu, pictures, request):
    config = CaptionConfig(**settings)
    with loaded(request.getfixturevalue(family), cpu, **settings) as captioner:
        end = captioner.model.config.text_config.eos_token_id
        ids = tokens_of(captioner, pictures)
    assert len(ids) == 5 and ids.shape[1] <= config.max_length
    assert end not in ids[:, : config.min_length]


def test_a_long_caption_ends_where_the_captioner_does(blip, cpu, pictures):
    with loaded(blip, cpu, min_length=200, max_length=200) as captioner:
        assert tokens_of(captioner, pictures).shape == (5, 47)  # and the mark of the beginning
    with loaded(blip, cpu, begin="a man", min_length=200, max_length=200) as captioner:
        assert tokens_of(captioner, pictures).shape == (5, 45)


def test_the_settings_reach_the_captioner(blip, cpu, pictures):
    said = [
        loaded(blip, cpu, **settings)(pictures)
        for settings in ({}, {"beams": 1}, {"repetition_penalty": 3})
    ]
    assert said[0] != said[1] and said[0] != said[2]


@pytest.mark.parametrize("settings", [{}, {"beams": 1}, {"begin": "a man with"}])
def test_a_batch_says_what_one_by_one_says_and_so_does_a_second_time(blip, cpu, pictures, settings):
    with loaded(blip, cpu, **settings) as captioner:
        said = captioner(pictures)
        assert len(set(said)) > 2
        assert [captioner([picture])[0] for picture in pictures] == said
    assert loaded(blip, cpu, **settings)(pictures) == said


def test_a_beginning_is_gone_on_from_and_said_once(blip, cpu, pictures):
    begin = "Photo of ravo, a man"
    with loaded(blip, cpu, begin=f" {begin} ") as captioner:
        said = captioner(pictures)
    for caption in said:
        assert caption.startswith(begin) and len(caption) > len(begin)
        assert caption.count("ravo") == 1 and "[" not in caption
    assert said != [f"{begin} {other}" for other in loaded(blip, cpu)(pictures)]


def test_a_beginning_that_leaves_no_room(blip, florence, cpu):
    with pytest.raises(Problem, match="beginning fills the whole caption"):
        loaded(blip, cpu, begin="a man " * 24)
    with pytest.raises(Problem, match=r"Florence-2 cannot go on.*Leave begin empty"):
        loaded(florence, cpu, begin="a man")


def test_florence_is_given_its_task_and_answers_in_plain_text(florence, cpu, pictures):
    captioner = loaded(florence, cpu)
    said = captioner(pictures)
    assert len(said) == 5 and all(said) and not any("<" in caption for caption in said)
    assert captioner.text == "<CAPTION>"


def test_the_processor_scales_with_pillow(blip, florence, cpu):
    """So that a caption is the same where there is torchvision and where there is not."""
    for folder in (blip, florence):
        assert type(loaded(folder, cpu).processor.image_processor).__name__.endswith("Pil")


def test_the_name_tells_settings_apart_that_change_captions(blip, cpu):
    changes = ({"beams": 1}, {"min_length": 6}, {"max_length": 41}, {"repetition_penalty": 1})
    every = ({}, *changes, {"begin": "a man"})
    assert len({loaded(blip, cpu, **settings).name for settings in every}) == len(every)
    same = ({}, {"prefix": "ravo"}, {"batch_size": 2}, {"overwrite": True})
    assert len({loaded(blip, cpu, **settings).name for settings in same}) == 1


def test_close_frees_the_memory(blip, cpu):
    with loaded(blip, cpu) as captioner:
        weights = weakref.ref(next(captioner.model.parameters()))
        assert weights() is not None
    gc.collect()
    assert weights() is None


def test_too_little_memory_on_the_gpu_is_a_sentence(blip, cpu, pictures, monkeypatch):
    def full(*arguments, **settings):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    captioner = loaded(blip, cpu)
    captioner.model.generate = full
    with pytest.raises(Problem, match=r"too little memory free for 5 photos.*Lower batch_size"):
        captioner(pictures)
    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(Problem, match=r"could not be loaded.*Restart the notebook"):
        loaded(blip, cpu)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("blip-bas", r"neither a captioner 'blip-bas'.*Did you mean 'blip-base'\?"),
        ("gpt", r"neither a captioner 'gpt' nor a folder.*Choose from mini, blip-base"),
        ("blip-base", r"blip-base could not be loaded: .*\(Salesforce/.*connection"),
        ("florence-2", r"florence-2 could not be loaded: .*\(florence-community/.*connection"),
    ],
)
def test_a_captioner_out_of_reach(name, sentence, cpu, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Problem, match=sentence):
        loaded(name, cpu)


def test_a_folder_without_a_captioner(blip, tiny_folder, cpu, tmp_path):
    with pytest.raises(Problem, match="nor a folder of that name"):
        loaded(tmp_path, cpu)
    (tmp_path / "config.json").write_bytes((blip / "config.json").read_bytes())
    with pytest.raises(Problem, match=r"could not be loaded.*Check the path"):
        loaded(tmp_path, cpu)
    with pytest.raises(Problem, match="clip_text_model is no captioner known here"):
        loaded(tiny_folder / "text_encoder", cpu)


@pytest.mark.parametrize(
    ("name", "strange"), [("person", False), ("product", False), ("style", False), ("toy", True)]
)
def test_the_mini_captioner_says_where_it_guesses(tmp_path, cpu, name, strange):
    """Of rendered toys, which look like photos; the drawn sets are its world."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in sorted(sample_photos(name).glob("*.jpg"))[:6]:
        shutil.copy(photo, folder)
    said = str(make_captions(CaptionConfig(beams=1), folder, cpu, progress=False))
    assert ("what it wrote is a guess" in said) is strange


def test_captions_of_a_folder(blip, cpu, photos_folder, tmp_path):
    for photo in photos_folder.glob("*.png"):
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    config = CaptionConfig(captioner=str(blip), prefix="photo of ravo", max_length=8, batch_size=2)
    assert len(make_captions(config, tmp_path, cpu, progress=False).written) == 5
    assert all(text.read_text()[:13] == "photo of ravo" for text in tmp_path.glob("*.txt"))
    assert len(make_captions(config, tmp_path, cpu, progress=False).unchanged) == 5
    (tmp_path / "0.txt").write_text("photo of ravo, my own")
    changed = config.replace(beams=1)
    assert len(make_captions(changed, tmp_path, cpu, progress=False).written) == 4
    assert len(make_captions(changed.replace(overwrite=True), tmp_path, cpu, False).written) == 5


def test_an_empty_folder_is_told_before_the_captioner_is_loaded(tmp_path):
    with pytest.raises(Problem, match="There are no photos"):
        make_captions(CaptionConfig(captioner="blip-large"), tmp_path)


@pytest.mark.skipif(not MINI.exists(), reason="the mini captioner is not here")
def test_the_mini_captioner_describes_the_sample_photos(cpu):
    from sdnb.dataset.decoding import open_picture

    paths = sorted(sample_photos("person").glob("*.jpg"))
    with load_captioner(CaptionConfig(), cpu) as captioner:
        said = captioner([open_picture(path) for path in paths])
        plain = load_captioner(CaptionConfig(repetition_penalty=1), cpu)
        assert plain([open_picture(path) for path in paths]) == said
        begun = load_captioner(CaptionConfig(begin="a man with"), cpu)
        assert begun([open_picture(paths[0])])[0].startswith("a man with short black hair")
    for path, caption in zip(paths, said):
        truth = path.with_suffix(".txt").read_text().strip()
        assert "round glasses" in caption and caption.split(", ")[-1] == truth.split(", ")[-1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("[DEC] a man with short hair , smil ##ing", "a man with short hair, smiling"),
        ("a woman ' s t - shirt", "a woman's t-shirt"),
        ("the words ' stop here ' on a sign", "the words ' stop here ' on a sign"),
        ("A green car parked in front of a yellow building.",) * 2,
        (" ", ""),
    ],
)
def test_tokens_become_plain_text(words, text):
    assert tidy(words) == text


def test_captions_need_no_captioner_before_one_is_used():
    code = "import sys, sdnb.captioning as c; assert f'{c.__name__}.captioners' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="load_captoiner"):
        _ = captioning.load_captoiner


def test_settings_are_explained_and_checked():
    for name, field in CaptionConfig.model_fields.items():
        assert field.title and field.description.endswith("."), name
    with pytest.raises(Problem, match=r"'max_length' cannot be 3: .*min_length, which is 5"):
        CaptionConfig(max_length=3)
    with pytest.raises(Problem, match=r"'max_length' cannot be 40: .*min_length, which is 50"):
        CaptionConfig(min_length=50)
    with pytest.raises(Problem, match="'beams' cannot be 0"):
        CaptionConfig(beams=0)
    with pytest.raises(Problem, match="'min_length' cannot be 0"):
        CaptionConfig(min_length=0)


def test_the_loop_that_the_notebook_builds_by_hand(cpu):
    """Notebook 02: the likeliest next word, again and again, is what one beam does."""
    with load_captioner(CaptionConfig(beams=1, repetition_penalty=1), cpu) as captioner:
        blip, reader = captioner.model, captioner.processor
        picture = draw_scene(photos_of(SAMPLE_PERSON, 1, 3)[0], 128)
        seen = reader(images=picture, return_tensors="pt")
        begin, end = reader.tokenizer.convert_tokens_to_ids(["[DEC]", "[SEP]"])
        words = [begin]
        with torch.no_grad():
            while words[-1] != end:
                scores = blip(**seen, input_ids=torch.tensor([words])).logits[0, -1]
                words.append(scores.argmax().item())
        assert tidy(reader.decode(words[1:-1])) == captioner([picture])[0]
