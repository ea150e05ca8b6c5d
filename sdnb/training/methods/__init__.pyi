from . import lora as lora, textual_inversion as textual_inversion
