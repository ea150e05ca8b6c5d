from .config import (
    DreamboothConfig as DreamboothConfig,
    LoraConfig as LoraConfig,
    TextualInversionConfig as TextualInversionConfig,
    preset as preset,
    presets as presets,
)
from .latents import encode_images as encode_images
from .loop import fit as fit
from .memory import (
    T4 as T4,
    compare_bases as compare_bases,
    empty_model as empty_model,
    optimizer_bytes as optimizer_bytes,
    plan as plan,
    refuse_what_cannot_fit as refuse_what_cannot_fit,
)
from .methods import method_of as method_of, restore as restore
from .methods.textual_inversion import initial_rows as initial_rows
from .run import (
    estimate as estimate,
    learned as learned,
    prepare as prepare,
    seconds_per_step as seconds_per_step,
    train as train,
)
from .run_folder import finished_runs as finished_runs, own_runs as own_runs
from .validation import loss_at as loss_at
