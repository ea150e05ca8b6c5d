"""LoRA files of every spelling, read into what peft calls things, and checked before use.

Read are diffusers' names (`unet.mid_block....lora_A.weight`, also the older `.lora.down.weight` and
`.processor.to_q_lora.down.weight`), kohya_ss's (`lora_unet_mid_block_....lora_down.weight` with
`.alpha`; SDXL also by the original model's blocks), LyCORIS's, ComfyUI's (`diffusion_model.`) and
peft's own (`base_model.model.`, with adapter_config.json beside the file); LoHa and LoKr too. The
words that OneTrainer bundles with a LoRA (`bundle_emb.`) are read by `load_embedding`.
diffusers' own reader takes only a part of these, fails on text encoders with some versions of
transformers (its issue 13984), and finds out late.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import mode

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, PeftConfig
from torch import nn

from sdnb.adapters.lora_header import ANOTHER, LARGEST, peft_config, read_beside, read_header
from sdnb.adapters.words import bundled_words
from sdnb.errors import Problem, about
from sdnb.models.families import FAMILIES
from sdnb.models.original_keys import renamed, unet_names
from sdnb.models.tensors import read_tensors

PARTS = {  # how a layer's name may begin, before a dot or a stroke; the longer one first
    "text_encoder_2": "text_encoder_2",
    "text_encoder": "text_encoder",
    "unet": "unet",
    "lora_unet": "unet",  # kohya_ss's
    "lora_te1": "text_encoder",
    "lora_te2": "text_encoder_2",
    "lora_te": "text_encoder",
    "lycoris": "unet",
    "diffusion_model": "unet",  # ComfyUI's
    "clip_l": "text_encoder",
    "clip_h": "text_encoder",
    "clip_g": "text_encoder_2",
}
PEFT = "base_model.model."
BEFORE = re.compile(r"^(base_model\.model\.)?(text_encoders\.)?")  # peft's, and ComfyUI's
OLD = re.compile(r"\.processor\.(to_[qkv]|to_out)_lora\.(down|up)\.weight$")  # long ago
FOREIGN = {  # what is not read, by a mark in its names
    r"dora_scale|lora_magnitude_vector": "a DoRA",
    r"\.lora_mid\.": "a LoCon with a Tucker decomposition",
    r"\.(diff|diff_b|w_norm|b_norm)$": "a LyCORIS of whole weights or norms",
    r"\.scalar$": "a LyCORIS with a trained scalar",
    r"\.oft_|\.boft_": "an OFT or a BOFT",
    r"\.[ab][12]\.weight$": "a GLoRA",
    r"\.on_input$|ia3": "an (IA)³",
    r"double_blocks|single_(transformer_)?blocks": "a LoRA for FLUX",
    r"joint_blocks|attn_add_|add_[kqv]_proj": "a LoRA for SD 3",
    r"motion_modules": "a LoRA for videos",
}
END = re.compile(  # how a name may end: with a half of a LoRA's product, or as in peft
    r"\.(?:"
    r"(?P<down>(?:lora_A(?:\.\w+)?|lora_down|(?:lora|lora_linear_layer)\.down)\.weight)"
    r"|(?P<up>(?:lora_B(?:\.\w+)?|lora_up|(?:lora|lora_linear_layer)\.up)\.weight)"
    r"|hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2|alpha)$"
)
ADAPTER = re.compile(r"\.lora_[AB](\.\w+|)\.weight$")  # peft's name of it, often none
HALVES = {"down": "lora_A.weight", "up": "lora_B.weight"}
HADA = frozenset(f"hada_w{i}_{half}" for i in (1, 2) for half in "ab")
SECOND = [{"lokr_w2"}, {"lokr_w2_a", "lokr_w2_b"}, {"lokr_w2_a", "lokr_w2_b", "lokr_t2"}]
WHOLE = [  # what has to stand together
    {"lora_A.weight", "lora_B.weight"},
    HADA,
    HADA | {"hada_t1", "hada_t2"},
    *({"lokr_w1"} | second for second in SECOND),
    *({"lokr_w1_a", "lokr_w1_b"} | second for second in SECOND),
]
KINDS = "Choose a LoRA, LoCon, LoHa or LoKr"
OWN_BASE = "Use the base model it was trained on"
FULL = 10**6  # a rank from which peft splits no factor of a LoKr
READS_TEXT = (  # matrices (..., width) of a cross-attention, or of its whole weight
    r"attn2[._]to_k\.(weight|lora_(A|down)(\.\w+)?\.weight|lora(_linear_layer)?\.down\.weight"
    r"|hada_w1_b|lokr_w[12](_b)?)$"
)


@dataclass(frozen=True)
class LoraFile:
    """What a file holds. `layers` are, by part of the model ("unet", "text_encoder", ...), tensors
    by peft's names; `configs` peft's settings of each part; `words` are learned words that came
    along, as OneTrainer bundles them."""

    path: Path
    layers: dict[str, dict[str, torch.Tensor]]
    configs: dict[str, PeftConfig]
    words: tuple[str, ...] = ()


def read_lora(file: Path | str, parts: dict[str, nn.Module]) -> LoraFile:
    """Read a LoRA for a model of these `parts` ("unet", "text_encoder", "text_encoder_2").

    Raises Problem where the file is missing, damaged or not a LoRA, was made for another family,
    or lacks a half of anything. Nothing in the parts is changed.
    """
    path = Path(file)
    tensors, metadata = read_tensors(path)
    words = bundled_words(tensors)
    tensors = {name: t for name, t in tensors.items() if not name.startswith("bundle_emb.")}
    with about(path):
        return LoraFile(path, *_read(path, tensors, metadata, parts), tuple(words))


def _read(
    path: Path,
    tensors: dict[str, torch.Tensor],
    metadata: dict[str, str],
    parts: dict[str, nn.Module],
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, PeftConfig]]:
    """`LoraFile.layers` and `LoraFile.configs`. Raises Problem as `read_lora` does."""
    named = [(OLD.sub(r".\1.lora.\2.weight", name), tensor) for name, tensor in tensors.items()]
    _refuse_other_kinds([name for name, _ in named])
    _refuse_other_families(dict(named), parts["unet"])
    found = _by_layer(named, parts)
    header = read_header(metadata)
    if not header and any(name.startswith(PEFT) for name in tensors):
        header = {f"{part}.{k}": v for k, v in read_beside(path).items() for part in parts}
    layers, configs = {}, {}
    for part, modules in found.items():
        own = any(key.startswith(f"{part}.") for key in header)
        for module, ends in modules.items():
            weight = weight_of(parts[part].get_submodule(module))
            _check(module, ends, weight)
            if _kind(ends) == "lokr" and not own:
                modules[module] = _multiplied(ends, weight)
        configs[part] = peft_config(header, part, modules) if own else _guessed(modules)
        _compare(configs[part], modules, own)
        layers[part] = {
            f"{module}.{end}": tensor
            for module, ends in modules.items()
            for end, tensor in ends.items()
            if end != "alpha"
        }
    return layers, configs


def _refuse_other_kinds(names: list[str]) -> None:
    for mark, kind in FOREIGN.items():
        if any(re.search(mark, name) for name in names):
            raise Problem(f"The file is {kind}, which cannot be used here", do=KINDS)
    others = [name for name in names or ["nothing"] if not END.search(name)]
    if others:
        what = f"The file is not a LoRA that can be used here: it holds {others[0][:80]}"
        raise Problem(what, do=KINDS)


def _by_layer(
    named: list[tuple[str, torch.Tensor]], parts: dict[str, nn.Module]
) -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    """The tensors by part, module and end. Raises Problem where one belongs nowhere, and where two
    say the same."""
    adapters = {found[1] for name, _ in named if (found := ADAPTER.search(name))}
    if len(adapters) > 1:
        raise Problem("The file holds matrices of several LoRAs", do="Choose a file of one")
    found: dict[str, dict[str, dict[str, torch.Tensor]]] = {}  # part, module, end
    homes = {name: _flat_names(name, part) for name, part in parts.items()}
    for name, tensor in named:
        part, module, end = _place(name, homes)
        if not module:
            what = f"The LoRA has a layer that this base model lacks: {name[:80]}"
            raise Problem(what, do=OWN_BASE)
        ends = found.setdefault(part, {}).setdefault(module, {})
        if end in ends:
            what = f"The file holds a matrix twice, in two spellings: {name[:80]}"
            raise Problem(what, do=ANOTHER)
        ends[end] = _shaped(tensor, end, weight_of(parts[part].get_submodule(module)))
    return found


def _shaped(tensor: torch.Tensor, end: str, weight: torch.Tensor) -> torch.Tensor:
    """A half of a LoRA in the shape that peft has for the layer: sd-scripts writes the matrices of
    some linear layers as 1 x 1 convolutions, and others write those of a convolution flat."""
    if weight.ndim == 2 and tensor.shape[2:] == (1, 1):
        return tensor.flatten(1)
    if weight.ndim == 4 and tensor.ndim == 2 and end in HALVES.values():
        up = end == HALVES["up"]
        if up or tensor.shape[1] == weight[0].numel():
            return tensor.reshape(len(tensor), -1, *((1, 1) if up else weight.shape[2:]))
    return tensor


def weight_of(layer: nn.Module) -> torch.Tensor:
    """The base's own weight, whether or not a LoRA stands beside it."""
    return getattr(layer, "base_layer", layer).weight


def _flat_names(part_name: str, part: nn.Module) -> dict[str, str]:
    """The paths of all layers that a LoRA can change, by each spelling of them without dots."""
    layers = [
        name.replace(".base_layer", "")
        for name, module in part.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and ".lora_" not in name
    ]
    flat = {path.replace(".", "_"): path for path in layers}
    if part_name == "unet":
        originals = unet_names(part)
        flat |= {renamed(path, originals).replace(".", "_"): path for path in layers}
    elif not hasattr(part, "text_model"):  # as transformers had it up to 5.5, and files still do
        flat |= {f"text_model_{name}": path for name, path in flat.items()}
    return {**{path: path for path in layers}, **flat}


def _place(name: str, homes: dict[str, dict[str, str]]) -> tuple[str, str, str]:
    """Part, module path and peft's ending of a tensor's name."""
    cut = END.search(name)
    end = HALVES.get(cut.lastgroup, cut[0][1:])
    stem = re.sub(r"\.to_out$", ".to_out.0", name[: cut.start()])
    stem = BEFORE.sub("", stem)
    prefix = next((word for word in PARTS if re.match(rf"{word}[._]", stem)), "")
    rest = stem[len(prefix) + 1 :].removeprefix("transformer.") if prefix else stem
    for part in [PARTS[prefix]] if prefix else homes:
        known = homes.get(part, {})
        if module := known.get(rest) or known.get(rest.replace(".", "_")):
            return part, module, end
    return "", "", end


def _check(module: str, ends: dict[str, torch.Tensor], weight: torch.Tensor) -> None:
    """Whether all that belongs together is there, and fits the layer."""
    if set(ends) - {"alpha"} not in WHOLE:
        raise Problem(f"A part of the LoRA is missing for {module}", do="Download or copy it again")
    alpha = ends.get("alpha")
    if alpha is not None and (alpha.numel() != 1 or abs(alpha.item()) > LARGEST):
        raise Problem(f"The alpha of {module} makes no sense", do=ANOTHER)
    try:
        fits = _update_sizes(ends) == {weight.flatten(1).shape}
    except (IndexError, RuntimeError):  # too few dimensions, or matrices that contradict each other
        fits = False
    if not fits:
        raise Problem(f"The LoRA does not fit this base model at {module}", do=OWN_BASE)


def _update_sizes(ends: dict[str, torch.Tensor]) -> set[torch.Size]:
    """Outputs, and inputs times the kernel, of every product that the update is made of; calculated
    without the numbers. Raises what torch does where the matrices contradict each other."""
    ends = {end: tensor.to("meta", torch.float32) for end, tensor in ends.items()}
    kind = _kind(ends)
    if kind == "lora":
        products = [ends["lora_B.weight"].flatten(1) @ ends["lora_A.weight"].flatten(1)]
    elif kind == "hada":
        products = [_product(ends, f"hada_w{i}", f"hada_t{i}") for i in (1, 2)]
    else:
        first, second = _factors(ends)
        products = [torch.kron(first, second.flatten(1))]
    return {product.flatten(1).shape for product in products}


def _product(ends: dict[str, torch.Tensor], name: str, core: str) -> torch.Tensor:
    """Two matrices multiplied, around a Tucker core where there is one: the kernel apart from the
    channels."""
    a, b = ends[f"{name}_a"].float(), ends[f"{name}_b"].float()
    if core in ends:
        return torch.einsum("ijkl,ip,jq->pqkl", ends[core].float(), a, b)
    return a @ b


def _factors(ends: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """A LoKr's two factors in full."""
    return [
        ends[name].float() if name in ends else _product(ends, name, core)
        for name, core in (("lokr_w1", ""), ("lokr_w2", "lokr_t2"))
    ]


def _guessed(modules: dict[str, dict[str, torch.Tensor]]) -> PeftConfig:
    """peft's settings for matrices that come with their alphas only."""
    kinds = set(map(_kind, modules.values()))
    if len(kinds) > 1:
        raise Problem("The file mixes kinds of matrices", do=ANOTHER)
    kind, ranks, alphas = kinds.pop(), {}, {}
    for module, ends in modules.items():
        ranks[module] = _rank(ends)
        alphas[module] = float(ends.get("alpha", ranks[module]))
    rank, alpha = mode(ranks.values()), mode(alphas.values())
    common = {
        "r": rank,
        "target_modules": list(modules),
        "rank_pattern": {re.escape(m): r for m, r in ranks.items() if r != rank},
        "alpha_pattern": {re.escape(m): a for m, a in alphas.items() if a != alpha},
    }
    if kind == "lora":
        return LoraConfig(lora_alpha=alpha, **common)
    if kind == "hada":
        tucker = any("hada_t1" in ends for ends in modules.values())
        return LoHaConfig(alpha=alpha, use_effective_conv2d=tucker, **common)
    return LoKrConfig(alpha=alpha, **common)


def _compare(config: PeftConfig, modules: dict[str, dict], own: bool) -> None:
    """Raises Problem where the header contradicts the matrices that it stands above."""
    for module, ends in modules.items():
        pattern = re.escape(module)
        said, found = config.rank_pattern.get(pattern, config.r), _rank(ends)
        if found not in (said, FULL) or (own and "alpha" in ends):
            what = f"The file's header contradicts its matrices: it says rank {said}, and {module} "
            what += f"has rank {found}" + " and an alpha of its own" * ("alpha" in ends)
            raise Problem(what, do=ANOTHER)


def _kind(ends: dict[str, torch.Tensor]) -> str:
    """ "lora", "hada" or "lokr"."""
    return next(end for end in ends if end != "alpha")[:4]


def _rank(ends: dict[str, torch.Tensor]) -> int:
    return next((len(ends[end]) for end in ("lora_A.weight", "hada_w1_b") if end in ends), FULL)


def _multiplied(ends: dict[str, torch.Tensor], weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """A LoKr's factors in full, with the scale in the first: LyCORIS's choice of which of them are
    split is not peft's. Two full factors have the scale 1 whatever alpha says (as the web UIs)."""
    rank = next((ends[f"lokr_{w}_b"].shape[0] for w in ("w1", "w2") if f"lokr_{w}_b" in ends), None)
    scale = 1.0 if rank is None else float(ends.get("alpha", rank)) / rank
    first, second = _factors(ends)
    second = second.reshape(second.shape[0], -1, *weight.shape[2:])
    return {"lokr_w1": first * scale, "lokr_w2": second}


def text_width(shapes: Mapping[str, Sequence[int]]) -> int | None:
    """How many numbers a word has for the UNet that these layers are of (768 for SD 1, 1024 for
    SD 2, 2048 for SDXL): what the first cross-attention takes. None where no layer tells."""
    layers: dict[str, list[int]] = {}
    for name, shape in shapes.items():
        if len(shape) > 1 and re.search(READS_TEXT, name):
            layers.setdefault(name.partition("to_k.")[0], []).append(shape[1])
    return prod(next(iter(layers.values()))) if layers else None  # a LoKr has two factors


def _refuse_other_families(tensors: dict, unet: nn.Module) -> None:
    width = text_width({name: tensor.shape for name, tensor in tensors.items()})
    own = unet.config.cross_attention_dim
    if width and width != own:
        known = {family.text_width: family.title for family in FAMILIES}
        theirs, ours = (known.get(w, f"a text width of {w}") for w in (width, own))
        what = f"The LoRA was made for {theirs}, and this base model is {ours}"
        raise Problem(what, do="Use a base model of its own family")
