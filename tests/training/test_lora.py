import errno

import pytest
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file

from sdnb.errors import Problem
from sdnb.models.loading import load_model
from sdnb.training.methods.lora import Lora


def trained(model, config):
    """Adapters with values that are not zero, as after training."""
    torch.manual_seed(1)
    for group in Lora().prepare(model, config):
        for parameter in group["params"]:
            parameter.data.normal_()


@pytest.mark.parametrize(
    ("layers", "modules"),
    [
        # the tiny UNet has 4 transformer blocks (1 down, 1 middle, 2 up)
        ("cross-attention", 4 * 4),
        ("attention", 4 * 8),
        ("attention+feedforward", 4 * 10),
    ],
)
def test_layers(tiny, config, layers, modules):
    groups = Lora().prepare(tiny, config.replace(layers=layers, train_text_encoder=False))
    assert len(groups) == 1
    assert len(groups[0]["params"]) == 2 * modules
    assert all(p.dtype == torch.float32 for p in groups[0]["params"])
    assert not any(p.requires_grad for p in tiny.text_encoder.parameters())


def test_trained_weights_are_fp32_on_a_half_precision_base(tiny_folder, config):
    model = load_model(tiny_folder, torch.float16)
    for group in Lora().prepare(model, config):
        assert {parameter.dtype for parameter in group["params"]} == {torch.float32}


def test_first_weights_come_from_the_seed_alone(tiny, config):
    torch.manual_seed(5)
    stream = torch.get_rng_state()
    Lora().prepare(tiny, config)
    assert torch.equal(stream, torch.get_rng_state())
    first = {n: t.clone() for n, t in get_peft_model_state_dict(tiny.unet).items()}
    torch.manual_seed(6)
    Lora().prepare(tiny, config)  # also: a second run on the same model replaces the first
    second = get_peft_model_state_dict(tiny.unet)
    assert all(torch.equal(first[name], second[name]) for name in first)
    Lora().prepare(tiny, config.replace(seed=1))
    third = get_peft_model_state_dict(tiny.unet)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_remove_gives_the_base_back(tiny, tiny_folder, config):
    trained(tiny, config)
    Lora().remove(tiny)
    base = load_model(tiny_folder)
    for module, original in ((tiny.unet, base.unet), (tiny.text_encoder, base.text_encoder)):
        state = module.state_dict()
        assert state.keys() == original.state_dict().keys()
        assert all(torch.equal(state[n], t) for n, t in original.state_dict().items())


def test_a_full_disk_leaves_the_old_lora(tiny, config, tmp_path, monkeypatch):
    path = tmp_path / "lora.safetensors"
    trained(tiny, config)
    Lora().save(tiny, config, path)
    before = load_file(path)

    def full(folder, weight_name, **_):
        (folder / weight_name).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("diffusers.StableDiffusionPipeline.save_lora_weights", full)
    with pytest.raises(Problem, match="disk is full"):
        Lora().save(tiny, config, path)
    assert load_file(path).keys() == before.keys()
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_matrices_are_the_same_file(tiny, config, tmp_path):
    """safetensors alone writes the two entries of the metadata in either order."""
    trained(tiny, config)
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for file in files:
        Lora().save(tiny, config, file)
    assert len({file.read_bytes() for file in files}) == 1
