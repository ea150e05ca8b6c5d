from .colab import download as download, upload_photos as upload_photos, use_drive as use_drive
from .exercises import check as check
from .forms import caption_editor as caption_editor, crop_form as crop_form, form as form
from .lessons import (
    my_settings as my_settings,
    newest_lora as newest_lora,
    preset_for as preset_for,
    subject_of as subject_of,
    training_chart as training_chart,
)
