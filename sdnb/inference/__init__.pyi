from .config import ImageConfig as ImageConfig
from .grids import Axis as Axis, xyz_plot as xyz_plot
from .images import (
    generate as generate,
    make_image_files as make_image_files,
    make_images as make_images,
)
from .infotext import (
    config_from_infotext as config_from_infotext,
    read_infotext as read_infotext,
    write_infotext as write_infotext,
)
from .prompts import read_prompt as read_prompt
