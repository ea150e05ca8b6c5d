from .config import ImageConfig as ImageConfig
from .folder import make_image_files as make_image_files
from .grids import (
    Axis as Axis,
    xyz_plot as xyz_plot,
)
from .infotext import (
    config_from_infotext as config_from_infotext,
    read_infotext as read_infotext,
    write_text as write_text,
)
from .pictures import (
    generate as generate,
    make_images as make_images,
)
from .prompts import read_prompt as read_prompt
