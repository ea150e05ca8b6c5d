import torch

from sdnb.training.batches import Batches, Examples, example_at, noise_and_timesteps


def make(**changes):
    """Six examples, each known by its number, in one version and one wording."""
    examples = Examples(
        tuple(torch.arange(6.0).reshape(6, 1, 1, 1, 1).expand(6, 1, 4, 2, 2)),
        torch.arange(7.0).reshape(7, 1, 1, 1),
    )
    values = {
        "instance": examples,
        "prior": None,
        "prior_weight": 0.5,
        "caption_dropout": 0.0,
        "seed": 3,
        "batch_size": 2,
        "global_size": 4,
        "n_train_timesteps": 1000,
    }
    return Batches(**values | changes), examples


def test_a_sample_is_the_same_however_the_batch_is_cut():
    whole, _ = make(batch_size=4)
    halves, _ = make(batch_size=2)
    for step in range(5):
        one, two = whole.at(step, 0), (halves.at(step, 0), halves.at(step, 1))
        for key, value in vars(one).items():
            assert torch.equal(value, torch.cat([vars(half)[key] for half in two])), key


def test_samples_differ_by_seed_step_and_position():
    draws = [
        noise_and_timesteps(seed, step, [position], shape=(4, 8, 8), n_train_timesteps=1000)[0]
        for seed in (0, 1)
        for step in (0, 1)
        for position in (0, 1)
    ]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert (one - other).abs().max() > 0.1


def test_noise_is_standard_normal_and_timesteps_cover_all():
    noise, timesteps = noise_and_timesteps(0, 0, range(2000), shape=(4, 2, 2), n_train_timesteps=10)
    # 32,000 values: three standard errors are 0.017 of the mean and 0.012 of the deviation
    assert abs(noise.mean()) < 0.017 and abs(noise.std() - 1) < 0.012
    assert timesteps.unique().tolist() == list(range(10))


def test_the_global_stream_of_chance_is_not_touched():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    make(caption_dropout=0.5)[0].at(0, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_every_epoch_shows_each_example_once_in_a_new_order():
    epochs = [
        [example_at(0, epoch * 20 + place, [()] * 20, 4) for place in range(20)]
        for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_texts_follow_their_pictures_and_dropout_takes_the_empty_one():
    plain, _ = make()
    batch = plain.at(0, 1)
    assert torch.equal(batch.texts.flatten(), batch.latents[:, 0, 0, 0])
    assert (make(caption_dropout=1.0)[0].at(0, 1).texts == 6).all()
    dropping, _ = make(caption_dropout=0.25, batch_size=400, global_size=400)
    share = (dropping.at(0, 0).texts == 6).float().mean()
    assert abs(share - 0.25) < 0.065  # three standard errors of 400 draws


def test_class_samples_follow_with_their_weight_and_other_noise():
    _, examples = make()
    prior = Examples(tuple(each + 10 for each in examples.latents), examples.texts)
    batch = make(prior=prior)[0].at(2, 1)
    assert batch.is_prior.tolist() == [False, False, True, True]
    assert batch.weights.tolist() == [1, 1, 0.5, 0.5]
    assert (batch.latents[:2] < 6).all() and (batch.latents[2:] >= 10).all()
    without = make()[0].at(2, 1)
    assert torch.equal(batch.noise[:2], without.noise)
    assert not torch.equal(batch.noise[2:], batch.noise[:2])


def test_versions_and_wordings_are_drawn_evenly_and_apart():
    latents = (torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 4, 2, 2),)
    texts = torch.tensor([0.0, 1, 2, 3]).reshape(1, 4, 1, 1).expand(2, 4, 1, 1)
    batches, _ = make(instance=Examples(latents, texts), batch_size=400, global_size=400)
    batch = batches.at(0, 0)
    mirrored, wording = batch.latents[:, 0, 0, 0], batch.texts.flatten()
    assert abs(mirrored.mean() - 0.5) < 0.075  # three standard errors of 400 draws
    assert abs((wording == 3).float().mean() - 0.25) < 0.065
    assert abs(torch.corrcoef(torch.stack([mirrored, wording]))[0, 1]) < 0.15


def test_noise_offset_shifts_whole_channels_by_its_share():
    shape, positions = (4, 8, 8), range(500)
    plain, timesteps = noise_and_timesteps(0, 0, positions, shape=shape, n_train_timesteps=10)
    shifted, same = noise_and_timesteps(
        0, 0, positions, shape=shape, n_train_timesteps=10, offset=0.1
    )
    shift = shifted - plain
    assert torch.equal(timesteps, same)
    # one number for a channel: the difference of two fp32 sums, to 1e-6
    assert (shift - shift[:, :, :1, :1]).abs().max() < 1e-6
    assert abs(shift[:, :, 0, 0].std() / 0.1 - 1) < 0.05  # three standard errors of 2000


def test_a_batch_knows_its_examples():
    batch = make()[0].at(0, 1)
    assert torch.equal(batch.rows.float(), batch.latents[:, 0, 0, 0])
