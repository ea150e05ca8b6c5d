"""A finished file goes where the program looks for it, and nothing there is lost."""

import errno
import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sdnb.errors import Problem
from sdnb.export.programs import PROGRAMS, TABLE, install, where_to_install

KEY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1"
PEFT = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
LDM = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def write(path, shapes, **header):
    path.parent.mkdir(exist_ok=True)
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path, header or None)
    return path


def lora(path, width=768, key=KEY, **header):
    shapes = {f"{key}.lora_down.weight": (4, width), f"{key}.lora_up.weight": (8, 4)}
    return write(path, shapes | {f"{key}.alpha": ()}, **header)


def checkpoint(path, width=768):
    mark = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    ends = {mark: (2, 2), "model.diffusion_model.input_blocks.0.0.weight": (2, 4)}
    return write(path, {LDM: (2, width), **ends})


def diffusers_folder(path, width=768):
    for name, text in {
        "model_index.json": {"_class_name": "StableDiffusionPipeline"},
        "unet/config.json": {
            "block_out_channels": [1] * 4,
            "sample_size": 64,
            "cross_attention_dim": width,
        },
        "vae/config.json": {"block_out_channels": [1] * 4},
    }.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(json.dumps(text))
    return path


MAKERS = {
    "lora": lora,
    "embedding": lambda path, width=768: write(path, {"emb_params": (3, width)}),
    "checkpoint": checkpoint,
    "folder": lambda path, width=768: diffusers_folder(path.with_suffix(""), width),
}


@pytest.fixture
def forge(tmp_path):
    return installation(tmp_path / "forge", "modules/", "modules_forge/", "webui.py", "launch.py")


@pytest.fixture
def comfyui(tmp_path):
    return installation(tmp_path / "comfyui", "comfy/", "nodes.py", "main.py", "models/loras/")


@pytest.fixture
def automatic1111(tmp_path):
    return installation(tmp_path / "a1111", "modules/", "webui.py", "launch.py", "embeddings/")


def installation(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(parents=True, exist_ok=True) if name.endswith("/") else path.touch()
    return root


def everything(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


WEB = [
    ("lora", "models/Lora", "<lora:ravo:1>"),
    ("embedding", "embeddings", "write ravo,"),
    ("checkpoint", "models/Stable-diffusion", "menu of checkpoints"),
]


@pytest.mark.parametrize(
    ("program", "kind", "folder", "said"),
    [
        *(("forge", *row) for row in WEB),
        *(("automatic1111", *row) for row in WEB),
        ("comfyui", "lora", "models/loras", "LoraLoader"),
        ("comfyui", "embedding", "models/embeddings", "embedding:ravo"),
        ("comfyui", "checkpoint", "models/checkpoints", "CheckpointLoaderSimple"),
        ("comfyui", "folder", "models/diffusers", "DiffusersLoader"),
    ],
)
def test_every_kind_has_its_place(tmp_path, request, program, kind, folder, said):
    """The name says nothing of the kind: it is the same for all. The folders are those of section
    "Folders" in each program's own documentation."""
    file = MAKERS[kind](tmp_path / "files" / "ravo.safetensors")
    place = where_to_install(file, program)
    assert (place.contents.kind, place.folder, place.unread) == (kind, folder, None)
    assert said in str(place) and folder in str(place) and PROGRAMS[program]["title"] in str(place)
    assert ("July 2024" in str(place)) == (program == "automatic1111")
    copy = install(file, request.getfixturevalue(program))
    assert copy == request.getfixturevalue(program) / folder / file.name
    if kind == "folder":
        assert everything(copy) == everything(file)
    else:
        assert copy.read_bytes() == file.read_bytes()


def test_the_maintained_programs_come_first():
    assert list(PROGRAMS) == ["forge", "comfyui", "automatic1111"]


def test_texts_are_fit_for_a_notebook_cell():
    """Colab's free tier has stopped notebooks whose code holds this name."""
    assert "stable-" + "diffusion-webui" not in json.dumps(TABLE).lower()


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(("width", "family"), [(768, "SD1"), (1024, "SD2"), (128, "mini")])
def test_the_family_is_told_by_the_width(tmp_path, kind, width, family):
    place = where_to_install(MAKERS[kind](tmp_path / "a.safetensors", width), "comfyui")
    assert place.contents.family == family
    assert ("mini model" in str(place)) == (family == "mini") == bool(place.unread)


@pytest.mark.parametrize(
    ("shapes", "said", "family"),
    [
        ({f"{KEY}.lora_down.weight": (4, 2048)}, "", "SDXL"),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "", "SDXL"),
        ({f"{KEY}.hada_w1_b": (4, 768), f"{KEY}.hada_w2_b": (4, 768)}, "", "SD1"),
        ({f"{KEY}.lokr_w1": (4, 16), f"{KEY}.lokr_w2_b": (4, 64)}, "", "SD2"),
        ({f"{TEXT}.lora_down.weight": (4, 768)}, "sd_v1", "SD1"),
        ({f"{TEXT}.lora_down.weight": (4, 768)}, "sdxl_base_v1-0", "SDXL"),
        ({f"{TEXT}.lora_down.weight": (4, 768)}, "", "Unknown"),
    ],
)
def test_the_family_of_other_files(tmp_path, shapes, said, family):
    """A LoKr's width is the product of its factors' (16 x 64 = 1024). Without cross-attention the
    header says it, as the web UIs have it."""
    place = where_to_install(
        write(tmp_path / "a.safetensors", shapes, ss_base_model_version=said), "forge"
    )
    assert place.contents.family == family and place.unread is None


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "name",
    [
        f"{PEFT}.lora_A.weight",
        f"{PEFT}.hada_w1_b",
        "lora_te1_encoder_layers_0_mlp_fc1.lora_down.weight",
    ],
)
def test_layers_with_diffusers_names_are_refused(tmp_path, request, program, name):
    file = write(tmp_path / "a.safetensors", {name: (4, 768)})
    assert "as diffusers does" in str(where_to_install(file, program))
    root = request.getfixturevalue(program)
    before = everything(root)
    with pytest.raises(Problem, match="kohya's format"):
        install(file, root)
    assert everything(root) == before


@pytest.mark.parametrize("program", ["forge", "automatic1111"])
def test_web_uis_read_no_diffusers_folders(tmp_path, program):
    place = where_to_install(diffusers_folder(tmp_path / "ravo"), program)
    assert "single file" in str(place.unread)


@pytest.mark.parametrize("shapes", [{"a": (2, 2), "b": (2, 2)}, {"a": (2,)}])
def test_other_files_are_refused(tmp_path, shapes):
    with pytest.raises(Problem, match="no LoRA, embedding"):
        where_to_install(write(tmp_path / "a.safetensors", shapes), "forge")


def test_what_cannot_be_read_is_a_problem(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"hello")
    with pytest.raises(Problem, match="damaged"):
        where_to_install(tmp_path / "a.safetensors", "forge")
    with pytest.raises(Problem, match="no such file"):
        where_to_install(tmp_path / "b.safetensors", "forge")
    with pytest.raises(Problem, match="forge, comfyui, automatic1111"):
        where_to_install(lora(tmp_path / "c.safetensors"), "invoke")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("lora", "a:b"),
        ("lora", "a>b"),
        ("lora", r"..\a"),
        ("lora", ".a"),
        ("embedding", "a b"),
        ("embedding", "a,b"),
        ("embedding", "a|b"),
    ],
)
def test_names_that_break_a_prompt_or_a_path(tmp_path, kind, name):
    file = MAKERS[kind](tmp_path / f"{name}.safetensors")
    with pytest.raises(Problem, match="Rename it"):
        where_to_install(file, "forge")


def test_a_lora_may_have_blanks_in_its_name(tmp_path):
    assert "<lora:my ravo:1>" in str(
        where_to_install(lora(tmp_path / "my ravo.safetensors"), "forge")
    )


def test_the_trigger_word_comes_from_the_learner_or_the_file(tmp_path):
    file = lora(tmp_path / "a.safetensors", **{"modelspec.trigger_phrase": "ravo man"})
    assert "prompt: ravo man." in str(where_to_install(file, "comfyui"))
    assert "prompt: tilo man." in str(where_to_install(file, "comfyui", "tilo man"))


@pytest.mark.parametrize("program", ["forge", "automatic1111"])
def test_what_stands_beside_a_lora(tmp_path, request, program):
    file = lora(tmp_path / "ravo.safetensors", 1024)
    Image.new("RGB", (3, 2), (200, 30, 40)).save(tmp_path / "p.bmp")
    root = request.getfixturevalue(program)
    copy = install(
        file,
        root,
        trigger="ravo män",
        description="Mine",
        weight=0.8,
        preview=tmp_path / "p.bmp",
    )
    assert json.loads(copy.with_suffix(".json").read_text("utf-8")) == {
        "description": "Mine",
        "sd version": "SD2",
        "activation text": "ravo män",
        "preferred weight": 0.8,
    }
    with Image.open(copy.with_suffix(".png")) as picture:
        assert (picture.format, picture.size) == ("PNG", (3, 2))
        assert picture.getpixel((2, 1)) == (200, 30, 40)
    names = {path.name for path in copy.parent.iterdir()}
    assert names == {"ravo.safetensors", "ravo.json", "ravo.png"}


def test_comfyui_gets_the_lora_alone(tmp_path, comfyui):
    copy = install(lora(tmp_path / "ravo.safetensors"), comfyui, trigger="ravo")
    assert [path.name for path in copy.parent.iterdir()] == ["ravo.safetensors"]


@pytest.mark.parametrize("kind", ["embedding", "checkpoint"])
def test_nothing_stands_beside_other_files(tmp_path, forge, kind):
    copy = install(MAKERS[kind](tmp_path / "ravo.safetensors"), forge, trigger="ravo")
    assert [path.name for path in copy.parent.iterdir()] == ["ravo.safetensors"]


def test_twice_is_once_and_edits_stay(tmp_path, forge):
    file = lora(tmp_path / "ravo.safetensors")
    copy = install(file, forge)
    copy.with_suffix(".json").write_text('{"notes": "my own"}')
    assert install(file, forge, trigger="ravo") == copy
    assert copy.with_suffix(".json").read_text() == '{"notes": "my own"}'


@pytest.mark.parametrize("kind", ["lora", "folder"])
def test_another_file_is_never_overwritten(tmp_path, comfyui, kind):
    file = MAKERS[kind](tmp_path / "files" / "ravo.safetensors")
    copy = install(file, comfyui)
    assert install(file, comfyui) == copy
    other = MAKERS[kind](tmp_path / "others" / "ravo.safetensors", 1024)
    before = {path: path.read_bytes() for path in copy.parent.rglob("*") if path.is_file()}
    with pytest.raises(Problem, match="Another file"):
        install(other, comfyui)
    after = {path: path.read_bytes() for path in copy.parent.rglob("*") if path.is_file()}
    assert before == after


def test_another_models_text_is_never_overwritten(tmp_path, forge):
    text = installation(forge, "models/Lora/") / "models/Lora/ravo.json"
    text.write_text("{}")
    with pytest.raises(Problem, match=r"ravo\.json"):
        install(lora(tmp_path / "ravo.safetensors"), forge)
    assert [path.name for path in text.parent.iterdir()] == ["ravo.json"]


def test_a_linked_models_folder_is_followed(tmp_path, forge):
    """Many keep their models on another disk and link the folder."""
    shared = installation(tmp_path / "disk", "Lora/")
    (forge / "models").symlink_to(shared)
    install(lora(tmp_path / "ravo.safetensors"), forge)
    assert everything(shared) == {"Lora/ravo.safetensors", "Lora/ravo.json"}


def test_a_link_in_the_files_place_is_not_followed(tmp_path, forge):
    folder = installation(forge, "models/Lora/") / "models/Lora"
    for outside in (tmp_path / "nothing", installation(tmp_path, "some.txt") / "some.txt"):
        link = folder / "ravo.safetensors"
        link.unlink(missing_ok=True)
        link.symlink_to(outside)
        with pytest.raises(Problem, match="Another file"):
            install(lora(tmp_path / "ravo.safetensors"), forge)
        assert link.is_symlink()
    assert not (tmp_path / "nothing").exists() and (tmp_path / "some.txt").read_bytes() == b""


def test_a_broken_link_is_a_problem(tmp_path, forge):
    (forge / "models").symlink_to(tmp_path / "unplugged")
    with pytest.raises(Problem, match="cannot be written"):
        install(lora(tmp_path / "ravo.safetensors"), forge)
    assert not (tmp_path / "unplugged").exists()


def test_the_program_is_recognised(tmp_path, forge, comfyui):
    file = lora(tmp_path / "ravo.safetensors")
    with pytest.raises(Problem, match="holds none of the known programs"):
        install(file, tmp_path)
    with pytest.raises(Problem, match="holds none"):
        install(file, tmp_path, "forge")
    with pytest.raises(Problem, match="holds Forge"):
        install(file, forge, "comfyui")
    assert not (tmp_path / "models").exists()
    models = installation(tmp_path / "only", "models/")  # as ComfyUI's desktop program keeps them
    assert install(file, models, "comfyui") == models / "models/loras/ravo.safetensors"


@pytest.mark.parametrize("kind", ["lora", "folder"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, comfyui, kind):
    file, before = MAKERS[kind](tmp_path / "ravo.safetensors"), everything(comfyui)

    def half(source, target, **_):
        target.write_bytes(b"half") if kind == "lora" else open(target, "wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(Problem, match=r"disk is full|cannot be written"):
        install(file, comfyui)
    assert everything(comfyui) == before


def test_a_preview_that_is_no_picture(tmp_path, forge):
    before = everything(forge)
    with pytest.raises(Problem, match="cannot be read"):
        install(lora(tmp_path / "ravo.safetensors"), forge, preview=tmp_path / "ravo.safetensors")
    assert everything(forge) == before
