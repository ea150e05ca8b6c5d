"""What the numbers say of each claim: the article's sentence, a verdict, and the effect with its
spread. The rules stand here, before the numbers are known."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev


class Found(dict):
    """Numbers by name, each a list over seeds. In an f-string: `found % "name"` is a share as
    "84 ± 6 %", `found[name]` the mean."""

    def __getitem__(self, name: str) -> float:
        return mean(super().__getitem__(name))

    def spread(self, name: str) -> float:
        values = super().__getitem__(name)
        return stdev(values) if len(values) > 1 else 0.0

    def __mod__(self, name: str) -> str:
        spread = f" ± {100 * self.spread(name):.0f}" if len(super().__getitem__(name)) > 1 else ""
        return f"{100 * self[name]:.0f}{spread} %"


HOLDS, PART, NOT = "holds", "in part", "does not hold"


@dataclass(frozen=True)
class Claim:
    """`needs` are the measurements it rests on; `judged` makes (verdict, effect) of them."""

    number: int
    text: str
    notebook: str
    needs: tuple[str, ...]
    judged: Callable[[Found], tuple[str, str]]


def verdict(holds: bool, part: bool = False) -> str:
    return HOLDS if holds else PART if part else NOT


def wishes(f: Found) -> tuple[str, str]:
    kinds = ("person", "product", "style")
    told = ", ".join(f"{kind} {f % f'{kind} before'} → {f % kind}" for kind in kinds)
    good = [f[kind] > 0.5 and f[kind] > f[f"{kind} before"] + 0.3 for kind in kinds]
    return verdict(all(good), any(good)), f"recognised before → after: {told}"


def number(f: Found) -> tuple[str, str]:
    counts = ("20 photos", "15 photos", "10 photos", "5 photos")
    near = abs(f["15 photos"] - f["20 photos"]) < 0.1
    few_worse = f["5 photos"] < f["20 photos"] - 0.1
    told = "recognised " + ", ".join(f"{name} {f % name}" for name in counts)
    why = "" if few_worse else "; five do as well on the mini model, whose photos are never bad"
    return verdict(near and few_worse, near), told + why


def frame(f: Found) -> tuple[str, str]:
    names = ("60 %", "10 %", "10 %, cropped")
    told = ", ".join(f"{name}: {f % name}" for name in names)
    return verdict(
        f["10 %"] < f["60 %"] - 0.2
    ), f"recognised, by the head's share of the frame, {told}"


def buckets(f: Found) -> tuple[str, str]:
    told = f"of common shapes a square loses {f % 'square loses'}, a bucket {f % 'bucket loses'}"
    return verdict(f["bucket loses"] < f["square loses"]), told


def captions(f: Found) -> tuple[str, str]:
    told = f"{f % 'begin with the prefix'} begin with the prefix; the small captioner names "
    return verdict(f["begin with the prefix"] == 1), told + f"{f % 'place right'} of the places"


def named(f: Found) -> tuple[str, str]:
    told = [f"{name}: {f % f'{name}, unasked'} unasked" for name in ("named", "not named")]
    asked = f"named and asked for: {f % 'named, asked'}"
    good = f["named, unasked"] < 0.2 < 0.5 < f["not named, unasked"] and f["named, asked"] > 0.8
    return verdict(good), f"pictures with glasses, {'; '.join(told)}; {asked}"


def every_weight(f: Found) -> tuple[str, str]:
    size = f["DreamBooth's file in fp16, GB"]
    told = f"{f % 'moved'} of the UNet's tensors moved; the file has {size:.1f} GB in fp16"
    return verdict(False, f["moved"] > 0.95), f"{told}, twice that in fp32, not 5"


def sixteen(f: Found) -> tuple[str, str]:
    plain, slim, least = (
        f[f"{name}, GiB"]
        for name in ("AdamW, text encoder too", "Adafactor, checkpointing", "in 8 GiB")
    )
    told = f"planned: {plain:.1f} GiB as the article did it, {slim:.1f} with Adafactor and "
    told += f"checkpointing, {least:.1f} with class images and a fused backward pass; a T4 has 14.6"
    return verdict(False, plain > 14.56 > slim), told


def prior(f: Found) -> tuple[str, str]:
    told = [
        f"{name} class pictures: recognised {f % f'{name}: recognised'}, a man taken for him "
        f"{f % f'{name}: a man is ravo'}, drift of others {f[f'{name}: drift of others']:.2f}"
        for name in ("without", "with")
    ]
    less = f["with: drift of others"] < f["without: drift of others"]
    less |= f["with: a man is ravo"] < f["without: a man is ravo"] - 0.1
    gain = f["with: recognised"] > f["without: recognised"] + 0.05
    return verdict(less and not gain, less), "; ".join(told)


def frozen(f: Found) -> tuple[str, str]:
    return verdict(f["moved"] == 0), f"{f['moved']:.0f} of the base's tensors moved"


def fast(f: Found) -> tuple[str, str]:
    word, whole = (f[f"{name}, times LoRA"] for name in ("Textual Inversion", "DreamBooth"))
    told = f"a step takes {word:.2f} times LoRA's, DreamBooth's {whole:.2f} times"
    return verdict(word < 0.33, word < 0.9), told + ": few numbers train, but the UNet is walked"


def kilobytes(f: Found) -> tuple[str, str]:
    size = f["file in kB"]
    return verdict(size < 100), f"{size:.1f} kB with eight vectors of the mini model"


def init(f: Found) -> tuple[str, str]:
    man, mug, noise = (f[f"loss from {name}"] for name in ("man", "mug", "noise"))
    spread = max(f.spread(f"loss from {name}") for name in ("man", "noise"))
    told = f"loss after 60 steps: from man {man:.4f}, from mug {mug:.4f}, from noise {noise:.4f}"
    told += f" (± {spread:.4f} over seeds)"
    return verdict(man < min(mug, noise) - spread, man < mug), told


def vectors(f: Found) -> tuple[str, str]:
    told = ", ".join(f"{n}: {f % f'{n} vectors'}" for n in (1, 2, 3, 8))
    best = max((1, 2, 3, 8), key=lambda n: f[f"{n} vectors"])
    few = max(f[f"{n} vectors"] for n in (1, 2, 3)) >= f["8 vectors"] - 0.05
    return verdict(best <= 3, few), f"recognised with vectors {told}"


def sparse(f: Found) -> tuple[str, str]:
    told = f"low-rank, not sparse: largest rank {f['largest rank']:.0f}, {f % 'zeros'} zeros"
    return verdict(f["zeros"] > 0.5), told


def small(f: Found) -> tuple[str, str]:
    names = ("rank 4, attention", "rank 16, attention", "rank 128, every layer")
    told = ", ".join(f"{name} {f[name]:.0f} MB" for name in names)
    return verdict(False, f[names[1]] < 200 < f[names[2]]), f"of SD 1.5, in fp32: {told}"


def presets(f: Found) -> tuple[str, str]:
    names = [name for name in f if name.endswith("in 20 s")]
    told = ", ".join(f"{name.removesuffix(' in 20 s')} {f % name}" for name in names)
    ported = [f[name] for name in names if "person" not in name]
    ours = f["person_mini in 20 s"]
    return verdict(min(ported) > ours, max(ported) > 0.3), f"recognised after 20 s: {told}"


def halves(f: Found) -> tuple[str, str]:
    lost = ", ".join(f"{name} {f % f'lost in {name}'}" for name in ("fp32", "fp16", "bf16"))
    one, four = f["LoRA, batch 1, GiB"], f["LoRA, batch 4, GiB"]
    told = (
        f"updates of 0.0001 lost: {lost}; batch 1 takes {one:.1f} GiB of a T4, batch 4 {four:.1f}"
    )
    good = f["lost in bf16"] > f["lost in fp16"] and one < four
    return verdict(good), told + ", which fits too"


def families(f: Found) -> tuple[str, str]:
    told = f"single files of SD 1, 2 and XL, tiny ones: {f % 'loaded'} loaded and drawn with; "
    told += f"{f % 'other families refused'} of another family's LoRAs refused by name"
    return verdict(f["loaded"] == f["other families refused"] == 1), told


def places(f: Found) -> tuple[str, str]:
    right = f["in embeddings"] == 1
    return verdict(False, right), "yes, but a learned word goes into embeddings/, beside models/"


def sweep(f: Found) -> tuple[str, str]:
    steps = ("0", "0.4", "0.8", "1.2")
    seen = ", ".join(f"{w}: {f % f'weight {w}: recognised'}" for w in steps)
    obeyed = f"{f % 'weight 0: place obeyed'} → {f % 'weight 1.2: place obeyed'}"
    rising = [f[f"weight {w}: recognised"] for w in steps]
    good = rising == sorted(rising) and rising[-1] > rising[0] + 0.3
    return verdict(good), f"recognised at weight {seen}; place obeyed {obeyed}"


def kept(f: Found) -> tuple[str, str]:
    told = [
        f"{method}: brows {f % f'{method}: brows'}, face {f % f'{method}: face'}, "
        f"hair {f % f'{method}: hair'}"
        for method in ("LoRA", "word")
    ]
    good = [f[f"{method}: brows"] > 0.6 for method in ("LoRA", "word")]
    return verdict(all(good), any(good)), "; ".join(told)


def accessories(f: Found) -> tuple[str, str]:
    told, good = [], []
    for method in ("LoRA", "word"):
        hat, glasses = f[f"{method}: hat asked"], f[f"{method}: glasses asked"]
        told.append(
            f"{method}: hat {f % f'{method}: hat asked'} asked, "
            f"{f % f'{method}: hat unasked'} unasked; glasses {f % f'{method}: glasses asked'} "
            f"and {f % f'{method}: glasses unasked'}"
        )
        unasked = max(f[f"{method}: hat unasked"], f[f"{method}: glasses unasked"])
        good.append(min(hat, glasses) > 0.7 and unasked < 0.3)
    return verdict(all(good), any(good)), "; ".join(told)


def carried(f: Found) -> tuple[str, str]:
    told, good = [], []
    for what, name in (("mini", "LoRA"), ("word", "word")):
        seen, style = f"{what} on cartoon: recognised", f"{what} on cartoon: style kept"
        told.append(f"{name}: recognised {f % seen}, style kept {f % style}")
        good.append(f[seen] > 0.5 and f[style] > 0.5)
    return verdict(all(good), any(good)), "on the cartoon base " + "; ".join(told)


def home(f: Found) -> tuple[str, str]:
    pairs = [(a, b) for a in ("mini", "cartoon") for b in ("mini", "cartoon")]
    told = "; ".join(
        f"{a} → {b} {f % f'{a} on {b}: recognised'}, style {f % f'{a} on {b}: style kept'}"
        for a, b in pairs
    )
    plain = f["mini on cartoon: style kept"] > f["cartoon on cartoon: style kept"] + 0.1
    both = f["mini on cartoon: recognised"] > f["cartoon on mini: recognised"]
    return verdict(plain and both, plain or both), f"learned on → used on: {told}"


# names of the benchmark of recipes
PHOTOS, MASKED = "LoRA, prior from photos", "LoRA, mask 0.2"
LIGHT = f"{PHOTOS}, weight 0.3, 300 steps"
FEW_STEPS, WITH_WORD = f"{PHOTOS}, 150 steps", "LoRA and word, prior from photos, 150 steps"


def compared(f: Found, *names: str) -> str:
    return "; ".join(
        f"{name}: recognised {f % f'{name}: line-up'}, a leak of {f % f'{name}: leak'}, drift "
        f"{f[f'{name}: drift']:.2f}"
        for name in names
    )


def imageless(f: Found) -> tuple[str, str]:
    """Does it keep the class without taking from what is learned, or from places obeyed?"""
    places = {name: f[f"{name}: places on the sample"] for name in ("LoRA", LIGHT, PHOTOS)}
    gain = f[f"{LIGHT}: line-up"] - f["LoRA: line-up"]
    kept = gain > -0.05 and places[LIGHT] > places["LoRA"] - 0.05
    holds = f[f"{LIGHT}: leak"] < 0.1 and kept
    told = ", ".join(f"{name}: {share:.0%}" for name, share in places.items())
    effect = f"{compared(f, *places)}; places obeyed on the sample photos: {told}"
    return verdict(holds, f[f"{LIGHT}: leak"] < f["LoRA: leak"] - 0.1), effect


def better(before: str, after: str, f: Found) -> tuple[str, str]:
    """Is more recognised with the one recipe than with the other?"""
    gain = f[f"{after}: line-up"] - f[f"{before}: line-up"]
    return verdict(gain > 0.05, gain > 0.02), compared(f, before, after)


CLAIMS = (
    Claim(
        1,
        "Two wishes: a portrait of oneself, one's own style, a product",
        "05",
        ("wishes",),
        wishes,
    ),
    Claim(2, "20 photos, 15 are good enough", "01", ("number",), number),
    Claim(
        3,
        "The subject fills at least half of the photo, else it is much worse",
        "01",
        ("frame",),
        frame,
    ),
    Claim(
        4,
        "Training wants squares, other shapes are processed too (buckets)",
        "01",
        ("buckets",),
        buckets,
    ),
    Claim(
        5,
        "A caption for each photo, by BLIP, with the special word in front",
        "02",
        ("captions",),
        captions,
    ),
    Claim(6, "What shall be excluded must be named in the captions", "02", ("named",), named),
    Claim(
        7,
        "DreamBooth updates every parameter; the file has about 5 GB",
        "03",
        ("prior", "memory"),
        every_weight,
    ),
    Claim(8, "It needs 16 GB; on a T4 it runs out of memory", "03", ("memory",), sixteen),
    Claim(
        9, "Class pictures keep general abilities; the author saw no gain", "03", ("prior",), prior
    ),
    Claim(10, "Textual Inversion freezes the base", "04", ("word",), frozen),
    Claim(11, "It is very fast, because little is trained", "04", ("pace",), fast),
    Claim(12, "Its file has a few kilobytes", "04", ("word",), kilobytes),
    Claim(13, "The init word is key; a broad class word converges fast", "04", ("word",), init),
    Claim(14, "Few vectors are enough (1 to 3)", "04", ("word",), vectors),
    Claim(15, "LoRA adds sparse matrices", "05", ("sparse",), sparse),
    Claim(16, "LoRA is small, usually about 200 MB", "05", ("sizes",), small),
    Claim(17, "Presets help", "05", ("pace",), presets),
    Claim(
        18, "Without bf16 choose fp16; keep the batch at 1", "05", ("precision", "memory"), halves
    ),
    Claim(
        19,
        "SD 2.1, SDXL and models from Civitai can be the base, too",
        "06",
        ("families",),
        families,
    ),
    Claim(20, "Where the files go", "06", ("places",), places),
    Claim(21, "A higher weight brings more of the features", "06", ("use",), sweep),
    Claim(
        22, "Not perfect but close: both methods catch the short, light brows", "06", ("use",), kept
    ),
    Claim(23, "Accessories obey the prompt", "06", ("use",), accessories),
    Claim(24, "LoRA and embedding carry over to another base", "07", ("use",), carried),
    Claim(25, "Training on the plain base carries over best", "07", ("use",), home),
)

FIELD = (  # not the article's: what trainers of the years since say
    Claim(
        26,
        "Prior preservation needs no class images: the base itself says what to keep",
        "05",
        ("recipes",),
        imageless,
    ),
    Claim(
        27,
        "A word and a LoRA learn faster together",
        "05",
        ("recipes",),
        partial(better, FEW_STEPS, WITH_WORD),
    ),
    Claim(
        28,
        "A mask around the head brings the face sooner",
        "05",
        ("recipes",),
        partial(better, "LoRA", MASKED),
    ),
)
