"""The loss on held-out photos: what it is, that it is the same at every look, and in a run."""

import pytest
import torch
import torch.nn.functional as F

from sdnb.training.batches import noise_and_timesteps
from sdnb.training.latents import encode_examples
from sdnb.training.run import photos_for, prepare, train
from sdnb.training.validation import BANDS, NO_STEP, Validation, read_validation


@pytest.fixture
def looking(configs, tiny, cpu):
    """A run in memory and what looks at its photos."""
    config = configs["lora"].replace(train_text_encoder=False)
    photos = photos_for(config)[:3]
    parts = prepare(config, photos, tiny, cpu)
    examples = encode_examples(tiny, photos, ["a man"] * 3, config)
    return parts, Validation(examples, parts[2], 5, 2), examples, tiny


def test_it_is_the_denoising_loss_by_hand(looking):
    (state, _, _), validation, examples, tiny = looking
    bands = validation.measure(state.denoiser)
    by_hand = torch.zeros(BANDS)
    for row in range(3):
        places = range(row * BANDS, (row + 1) * BANDS)
        noise, _ = noise_and_timesteps(5, NO_STEP, places, shape=(4, 8, 8), n_train_timesteps=1000)
        for band, level in enumerate((125, 375, 625, 875)):
            latents, level = examples.latents[row], torch.tensor([level])
            noisy = tiny.scheduler.add_noise(latents, noise[band : band + 1], level)
            with torch.no_grad():
                guess = tiny.unet(noisy, level, examples.texts[row]).sample
            by_hand[band] += F.mse_loss(guess, noise[band : band + 1]) / 3
    torch.testing.assert_close(torch.tensor(bands), by_hand, rtol=1e-5, atol=1e-6)


def test_looking_changes_nothing(looking):
    (state, _, _), validation, _, tiny = looking
    before = {name: value.clone() for name, value in tiny.unet.state_dict().items()}
    stream = torch.get_rng_state()
    assert validation.measure(state.denoiser) == validation.measure(state.denoiser)
    assert all(torch.equal(value, before[name]) for name, value in tiny.unet.state_dict().items())
    assert torch.equal(stream, torch.get_rng_state()) and tiny.unet.training


def test_a_run_looks_now_and_then_and_goes_on_where_it_was(configs, cpu, tmp_path):
    config = configs["lora"]
    plain = train(config, tmp_path / "plain", cpu, progress=False)
    looked = config.replace(held_out=config.photos, validate_every=3)
    whole = train(looked, tmp_path / "whole", cpu, progress=False)
    assert [look.index for look in whole.validation] == [3, 6, 8]  # and after the last step
    assert whole.history == plain.history and plain.validation == []
    assert all(look.loss == pytest.approx(sum(look.bands) / BANDS) for look in whole.validation)

    def stop(step):
        if step.index == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(looked.replace(save_every=2), tmp_path / "half", cpu, progress=False, on_step=stop)
    again = train(looked.replace(save_every=2), tmp_path / "half", cpu, progress=False)
    assert again.validation == whole.validation == read_validation(whole.validation_file)
