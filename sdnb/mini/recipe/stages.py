"""The stages of the mini model's training: what each learns from and what it minimises."""

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from sdnb.mini.judge import Judge, centred
from sdnb.mini.recipe import data, parts
from sdnb.mini.recipe.losses import copy_loss, judge_loss
from sdnb.mini.recipe.optimise import DEVICE, STATE, autocast, optimise, seed_step
from sdnb.models.conditioning import core_of

Module = TypeVar("Module", bound=nn.Module)

STEPS = {
    "features": 1000,
    "vae": 8000,
    "clip": 2000,
    "unet": 30000,
    "nobody": 800,
    "match": 4000,
    "judge": 2400,
}
BATCH = {"features": 192, "vae": 48, "clip": 512, "unet": 384}
BATCH |= {"nobody": 192, "match": 512, "judge": 192}
COUNTS = {"world": 100000, "judge": 16800}
SCHEDULE = parts.build_scheduler()
SCHEDULE.alphas_cumprod = SCHEDULE.alphas_cumprod.to(DEVICE)
EARLIER: list[Path] = []  # a folder of weights to begin from, where there is one


def begun(name: str, module: Module) -> Module:
    """A part as a training begins with it: by chance, or as an earlier version left it."""
    for folder in EARLIER:
        parts.take_weights(module, parts.weights_of(folder, name))
    return module


def compiled(*modules: nn.Module) -> None:
    """Faster on a GPU: 0.056 against 0.076 s for the UNet's passes at 384 on an H200."""
    for module in modules if DEVICE == "cuda" else ():
        module.compile()


def some(count: int, batch: int) -> torch.Tensor:
    """(batch,) numbers below `count` by chance."""
    return torch.randint(count, (batch,)).to(DEVICE)


def draw() -> None:
    """The pictures that the stages learn from."""
    for name, count in COUNTS.items():
        data.draw_set(name, count, STATE)


def tokenizer() -> CLIPTokenizer:
    """CLIP's own, from the studio's captions; an earlier version's words keep their numbers."""
    folder = STATE / "tokenizer"
    if not folder.exists():
        earlier = [CLIPTokenizer.from_pretrained(folder / "tokenizer") for folder in EARLIER]
        first = earlier[0] if earlier else parts.build_tokenizer()
        parts.with_names(first).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def token_ids(name: str, pictures: data.Pictures) -> torch.Tensor:
    """All wordings of every caption as (N, 6, 77) token ids, made once."""
    path = STATE / f"{name}_ids.npy"
    if not path.exists():
        flat = [wording for wordings in pictures.captions for wording in wordings]
        ids = tokenizer()(
            flat, padding="max_length", max_length=parts.POSITIONS, truncation=True
        ).input_ids
        np.save(path, np.array(ids, np.int16).reshape(len(pictures), -1, parts.POSITIONS))
    return torch.from_numpy(np.load(path)).to(DEVICE)


def _groups(count: int, batch: int) -> torch.Tensor:
    """Indices of whole groups of lookalikes."""
    size = data.GROUP * data.VIEWS
    first = torch.randint(count // size, (batch // size,)) * size
    return (first[:, None] + torch.arange(size)).flatten().to(DEVICE)


def features(steps: int) -> Judge:
    """A judge that saw sharp pictures only; the autoencoder is measured by its maps."""
    pictures = data.Pictures("judge", STATE, DEVICE)
    judge = Judge()

    def loss_of(step: int) -> torch.Tensor:
        index = _groups(len(pictures), BATCH["features"])
        return judge_loss(judge, pictures[index], pictures.labels[index])

    return optimise("features", {"judge": judge}, loss_of, steps, 2e-3)["judge"]


def _everything(batch: int) -> Callable[[], torch.Tensor]:
    """Three of the base's pictures to one of the judge's: every look, every distance."""
    world, odd = data.Pictures("world", STATE, DEVICE), data.Pictures("judge", STATE, DEVICE)

    def draw_batch() -> torch.Tensor:
        real = torch.cat([world[some(len(world), batch * 3 // 4)], odd[some(len(odd), batch // 4)]])
        return real.contiguous(memory_format=torch.channels_last)

    return draw_batch


def vae(steps: int) -> AutoencoderKL:
    """The autoencoder, with a light pull of the latents towards the unit normal (KL weight 1e-6 as
    in SD). What an earlier version's UNet knows are its latents, so there the decoder alone goes
    on learning."""
    pictures, coder = _everything(BATCH["vae"]), begun("vae", parts.build_vae())
    for half in (coder.encoder, coder.quant_conv) if EARLIER else ():
        half.requires_grad_(False)
    eye = features(STEPS["features"]).eval().requires_grad_(False) if steps else None
    compiled(coder.encoder, coder.decoder)

    def loss_of(step: int) -> torch.Tensor:
        real = pictures()
        with autocast():
            posterior = coder.encode(real).latent_dist
            copy_ = coder.decode(posterior.sample()).sample
        return copy_loss(eye, copy_, real) + 1e-6 * posterior.kl().float().mean()

    coder = optimise("vae", {"vae": coder}, loss_of, steps, 1e-3, ema=0.999)["vae"]
    world = data.Pictures("world", STATE, DEVICE)
    with torch.no_grad():
        first = world[torch.arange(min(200, len(world)), device=DEVICE)]
        spread = coder.encode(first).latent_dist.mode().std()
    coder.register_to_config(scaling_factor=round(1 / float(spread), 5))
    return coder


def clip(steps: int) -> CLIPModel:
    """CLIP on the base's pictures and their captions."""
    model = begun("clip", parts.build_clip(tokenizer()))
    return _contrast("clip", model, steps)


def match(steps: int) -> CLIPModel:
    """CLIP once more, for its text tower has moved with the UNet: the tower stays as it is and the
    picture side finds its way to it (locked-text tuning, after arXiv 2111.07991)."""
    model, tower = clip(STEPS["clip"]), unet(STEPS["unet"])[1]
    model.text_model.load_state_dict(core_of(tower).state_dict())
    model.requires_grad_(True).text_model.requires_grad_(False)
    return _contrast("match", model, steps)


def _contrast(stage: str, model: CLIPModel, steps: int) -> CLIPModel:
    """Contrastive training: of a batch of pictures and captions, which belong together?"""
    pictures = data.Pictures("world", STATE, DEVICE)
    ids = token_ids("world", pictures)

    def loss_of(step: int) -> torch.Tensor:
        index = some(len(pictures), BATCH[stage])
        words = ids[index, torch.randint(data.WORDINGS, (len(index),), device=DEVICE)].long()
        with autocast():
            out = model(input_ids=words, pixel_values=pictures[index])
        scores = out.logits_per_text.float()
        target = torch.arange(len(index), device=DEVICE)
        return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2

    return optimise(stage, {"clip": model}, loss_of, steps, 1e-3, ema=0.998)["clip"]


def latents(name: str, coder: AutoencoderKL, pictures: data.Pictures) -> torch.Tensor:
    """Every picture encoded once: (N, 4, 16, 16), scaled to unit spread."""
    path = STATE / f"{name}_latents.npy"
    if not path.exists():
        parts_of = []
        with torch.no_grad(), autocast():
            for index in torch.arange(len(pictures), device=DEVICE).split(256):
                mode = coder.encode(pictures[index]).latent_dist.mode()
                parts_of.append((mode.float() * coder.config.scaling_factor).cpu())
        np.save(path, torch.cat(parts_of).numpy())
    return torch.from_numpy(np.load(path)).to(DEVICE)


def disturbed(clean: torch.Tensor, when: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents with as much noise as the timesteps (n,) say, and the noise."""
    clean = clean.contiguous(memory_format=torch.channels_last)
    noise = torch.randn_like(clean)
    return SCHEDULE.add_noise(clean, noise, when), noise


def noise_loss(
    name: str, coder: AutoencoderKL, net: UNet2DConditionModel, encoder: CLIPTextModel
) -> Callable[[int], torch.Tensor]:
    """Noise prediction on the set `name`, every timestep weighted alike: min-SNR weights would take
    weight from the low noise levels, where brows and moles are decided. A tenth of the captions is
    left empty so that guidance has its unconditional half."""
    pictures = data.Pictures(name, STATE, DEVICE)
    ids, points = token_ids(name, pictures), latents(name, coder, pictures)
    empty = torch.tensor(
        tokenizer()("", padding="max_length", max_length=parts.POSITIONS).input_ids, device=DEVICE
    )

    def loss_of(step: int) -> torch.Tensor:
        index = some(len(points), BATCH["unet"])
        words = ids[index, torch.randint(data.WORDINGS, (len(index),), device=DEVICE)].long()
        words = torch.where(torch.rand(len(index), 1, device=DEVICE) < 0.1, empty, words)
        when = some(1000, len(index))
        noisy, noise = disturbed(points[index], when)
        with autocast():
            guess = net(noisy, when, encoder(words)[0]).sample
        return F.mse_loss(guess.float(), noise)

    return loss_of


def unet(steps: int) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """The UNet, and CLIP's text tower with it (as in latent diffusion, arXiv 2112.10752): left as
    it is, the tower says next to nothing of what CLIP's picture side cannot see, moles and noses,
    and no training afterwards finds the words for them."""
    net = begun("unet", parts.build_unet())
    encoder = parts.text_encoder_of(clip(STEPS["clip"]))
    loss_of = noise_loss("world", vae(STEPS["vae"]), net, encoder)
    compiled(net)
    both = {"unet": net, "text encoder": encoder}
    trained = optimise("unet", both, loss_of, steps, 1e-3, ema=0.9995)
    return trained["unet"], trained["text encoder"]


def nobody(steps: int) -> UNet2DConditionModel:
    """The UNet once more, alone: with a name that nobody has it shall do what it does for "a
    person", and with all other words what it did. Noise prediction alone leaves a little of man or
    woman in every such name, and guidance makes much of a little. The error is that of the picture
    that the prediction implies, for who it will be is decided where a picture is nearly all noise,
    and there the noise itself hardly differs. The text encoder stays: where it learned this
    instead, it no longer told one name from another, and was harder to teach one."""
    net, encoder = unet(STEPS["unet"])
    if not steps:
        return net
    encoder.to(DEVICE).requires_grad_(False)
    before = copy.deepcopy(net).to(DEVICE).requires_grad_(False)
    net.requires_grad_(True)  # an average of weights comes without
    pictures, words, batch = data.Pictures("world", STATE, DEVICE), tokenizer(), BATCH["nobody"]
    points = latents("world", vae(STEPS["vae"]), pictures)

    def meaning(captions: tuple[str, ...]) -> torch.Tensor:
        ids = words(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(ids.to(DEVICE))[0]

    def loss_of(step: int) -> torch.Tensor:
        rng = random.Random(torch.initial_seed())  # of the step, and of the GPU
        index = rng.choices(range(len(points)), k=batch)
        told = [rng.choice(pictures.captions[i]) if rng.random() < 0.95 else "" for i in index]
        pairs = [data.as_nobody(c, rng) if i % 3 else (c, c) for i, c in enumerate(told)]
        named, meant = zip(*pairs, strict=True)
        # more often where there is more noise
        when = (1000 * torch.rand(batch, device=DEVICE).sqrt()).long()
        noisy, _ = disturbed(points[torch.tensor(index, device=DEVICE)], when)
        with autocast(), torch.no_grad():
            aim, text = before(noisy, when, meaning(meant)).sample, meaning(named)
        with autocast():
            guess = net(noisy, when, text).sample
        kept = SCHEDULE.alphas_cumprod[when]
        apart = (guess.float() - aim.float()).square().mean((1, 2, 3))
        return (apart * ((1 - kept) / kept).clamp(max=30)).mean()

    return optimise("nobody", {"unet": net}, loss_of, steps, 1e-4, ema=0.995)["unet"]


def soft_copies(coder: AutoencoderKL, pictures: data.Pictures) -> torch.Tensor:
    """Every picture through the autoencoder, its latents a little disturbed: (N, 128, 128, 3)
    uint8."""
    path = STATE / "judge_soft.npy"
    if not path.exists():
        seed_step("soft", 0)
        copies = []
        with torch.no_grad(), autocast():
            for index in torch.arange(len(pictures), device=DEVICE).split(128):
                mode = coder.encode(pictures[index]).latent_dist.mode()
                strength = torch.rand(len(index), 1, 1, 1, device=DEVICE)
                strength *= 0.2 / coder.config.scaling_factor
                noisy = mode + strength * torch.randn_like(mode)
                soft = coder.decode(noisy).sample.float().clamp(-1, 1)
                copies.append(((soft + 1) * 127.5).byte().permute(0, 2, 3, 1).cpu())
        np.save(path, torch.cat(copies).numpy())
    return torch.from_numpy(np.load(path)).to(DEVICE)


def judge(steps: int) -> Judge:
    """The judge that is shipped: more than half of its pictures come through the autoencoder, so
    that soft lines do not confuse it."""
    network = begun("judge", Judge())
    if not steps:
        return network.to(DEVICE).eval()
    pictures = data.Pictures("judge", STATE, DEVICE)
    sharp, soft = pictures.pixels, soft_copies(vae(STEPS["vae"]), pictures)

    def loss_of(step: int) -> torch.Tensor:
        index = _groups(len(pictures), BATCH["judge"])
        through = torch.rand(len(index), 1, 1, 1, device=DEVICE) < 0.6
        shown = torch.where(through, soft[index], sharp[index])
        return judge_loss(network, centred(shown), pictures.labels[index])

    return optimise("judge", {"judge": network}, loss_of, steps, 2e-3)["judge"]


STAGES = {
    "features": features,
    "vae": vae,
    "clip": clip,
    "unet": unet,
    "nobody": nobody,
    "match": match,
    "judge": judge,
}
