from .classroom import read_reports as read_reports, write_class as write_class
from .lineup import line_up as line_up, photo_line_up as photo_line_up
from .picker import (
    measure_run as measure_run,
    pick_checkpoint as pick_checkpoint,
    trained as trained,
)
from .protocol import dreambooth_protocol as dreambooth_protocol
from .report import write_report as write_report
from .scores import drift as drift, make_image_set as make_image_set, measure as measure
from .weight_distance import compare_weights as compare_weights, lora_distance as lora_distance
