"""DreamBooth (Ruiz et al. 2022, arXiv 2208.12242): every weight of the UNet learns, and by choice
the text encoder's. The result is a whole model that stands alone."""

from pathlib import Path

from sdnb.dataset.photos import Photo, literal
from sdnb.errors import Problem
from sdnb.models.base import Model
from sdnb.models.loading import reload, take_weights
from sdnb.models.saving import save_folder
from sdnb.training.config import DreamboothConfig
from sdnb.training.methods.base import Method, parameter_group, refuse_sdxl


class Dreambooth(Method):
    """Every weight learns; see the module."""

    name, title, result = "dreambooth", "A DreamBooth model", "model"
    half_base = False

    def prepare(self, model: Model, config: DreamboothConfig) -> list[dict]:
        """Free the UNet (and the text encoder), after giving back what an earlier run has moved."""
        refuse_sdxl(model, "DreamBooth")
        if config.init_weights:
            what = "DreamBooth goes on from a model, not from a LoRA or an embedding"
            do = "Name the model's folder as base, and leave init_weights out"
            raise Problem(what, config.init_weights, do)
        self.freeze(model)
        model.moved = True
        model.unet.requires_grad_(True)
        groups = [parameter_group(model.unet, config.learning_rate)]
        if config.train_text_encoder:
            model.text_encoder.requires_grad_(True)
            groups.append(parameter_group(model.text_encoder, config.text_encoder_learning_rate))
        return groups

    def captions(self, config: DreamboothConfig, photos: list[Photo]) -> list[str]:
        """The instance prompt for every photo, or each photo's own caption."""
        if config.instance_prompt:
            return [literal(config.instance_prompt)] * len(photos)
        return super().captions(config, photos)

    def save(self, model: Model, config: DreamboothConfig, path: Path) -> None:
        """Write the whole model as a diffusers folder, fp16; see `save_folder`."""
        save_folder(model, path)

    def load(self, model: Model, path: Path) -> None:
        """Give the base model the weights in the folder."""
        take_weights(model, path)

    def remove(self, model: Model) -> None:
        """Give the base model back as it was, read again from where it came."""
        super().remove(model)
        if model.moved:
            reload(model)
