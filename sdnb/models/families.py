"""The families of Stable Diffusion: one record for each, which holds all that is known of it.

No other module knows a family's widths, keys, names or needs.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

CONFIGS = Path(__file__).parent / "configs"
MINI_FOLDER = Path(__file__).parents[1] / "mini" / "weights"
SD1_KEYS = (
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "cond_stage_model.transformer.embeddings.token_embedding.weight",
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of Stable Diffusion. The configuration files are the published ones, as far as they
    differ from the libraries' defaults; memory and disk are what a card needs for a LoRA and its
    pictures."""

    name: str  # "mini", "sd1", "sd2" or "sdxl": both kinds of SD 2 are "sd2"
    title: str  # in sentences
    resolution: int  # pixels a side
    text_width: int  # of each token's embedding, as the UNet takes it
    folder: str | Path  # of its configuration files, in `configs/` or anywhere
    keys: tuple[str, ...]  # only its single files have one of these
    v_prediction: bool = False  # else it predicts the noise (epsilon)
    zero_snr: bool = False  # its last noise level is noise alone (Lin et al. 2023, 2305.08891)
    bucket_step: int = 64  # VAE factor x UNet's downsampling, pixels; 0: knows only squares
    guidance: float = 7.0  # the scale of classifier-free guidance where none is asked for
    pad_token: str | None = None  # CLIP itself repeats the mark of the end
    pipeline: type = StableDiffusionPipeline
    memory_gib: float = 0.0  # on the GPU
    disk_gib: float = 0.0
    # what other programs call it, and how it is written for them
    web_ui: str  # in the text beside a LoRA (Forge, AUTOMATIC1111); "mini" they do not know
    kohya: str  # ss_base_model_version in kohya-ss/sd-scripts
    architecture: str  # modelspec.architecture (ModelSpec 1.0.1)
    one_file: bool = False  # whether it is exported as one file in the original layout
    original_names: bool = False  # whether kohya_ss names a LoRA's layers as the original UNet does

    @property
    def configs(self) -> Path:
        return CONFIGS / self.folder

    @property
    def scheduler(self) -> dict[str, object]:
        """Where its scheduler's settings differ from those of the published ones."""
        settings = {"prediction_type": "v_prediction"} if self.v_prediction else {}
        if self.zero_snr:
            settings |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return settings

    def predicting(self, v_prediction: bool, zero_snr: bool = False) -> "Family":
        """The same family with another prediction."""
        return replace(self, v_prediction=v_prediction, zero_snr=zero_snr)

    @property
    def two_encoders(self) -> bool:
        return self.pipeline is StableDiffusionXLPipeline

    @property
    def unused(self) -> dict[str, object]:
        """Arguments of the pipeline, for its parts that are not wanted here."""
        checker = {"safety_checker": None, "requires_safety_checker": False}
        more = {"add_watermarker": False} if self.two_encoders else checker
        return {"feature_extractor": None, "image_encoder": None} | more


SD1 = Family(
    name="sd1",
    title="SD 1.x",
    resolution=512,
    text_width=768,
    folder="sd1",
    keys=SD1_KEYS,
    memory_gib=6.0,
    disk_gib=6.0,
    web_ui="SD1",
    kohya="sd_v1",
    architecture="stable-diffusion-v1",
    one_file=True,
)
MINI = replace(  # has SD 1's layout, and passes for one in files
    SD1,
    name="mini",
    title="a mini model",
    resolution=128,
    text_width=128,
    folder=MINI_FOLDER,
    bucket_step=0,
    guidance=4.0,
    memory_gib=0.0,
    disk_gib=0.0,
    web_ui="mini",
)
SD2 = Family(
    name="sd2",
    title="SD 2.x",
    resolution=512,
    text_width=1024,
    folder="sd2",
    keys=("cond_stage_model.model.token_embedding.weight",),
    pad_token="!",
    memory_gib=8.0,
    disk_gib=7.0,
    web_ui="SD2",
    kohya="sd_v2",
    architecture="stable-diffusion-v2-512",
)
SD2_V = replace(
    SD2,
    resolution=768,
    folder="sd2-v",
    v_prediction=True,
    kohya="sd_v2_v",
    architecture="stable-diffusion-v2-768-v",
)
SDXL = Family(
    name="sdxl",
    title="SDXL",
    resolution=1024,
    text_width=2048,
    folder="sdxl",
    keys=("conditioner.embedders.1.model.token_embedding.weight",),
    pipeline=StableDiffusionXLPipeline,
    memory_gib=12.0,
    disk_gib=13.0,
    web_ui="SDXL",
    kohya="sdxl_base_v1-0",
    architecture="stable-diffusion-xl-v1-base",
    original_names=True,
)
FAMILIES = (SD1, MINI, SD2, SD2_V, SDXL)


def family_of(text_width: int, v_prediction: bool = False) -> Family:
    """The family whose UNet takes tokens of this width, MINI where there is none. Of the two kinds
    of SD 2 the one with that prediction."""
    alike = [family for family in FAMILIES if family.text_width == text_width]
    same = [family for family in alike if family.v_prediction is v_prediction]
    return [*same, *alike, MINI][0]
